// Environments, stages, operations, teams, audit, login.
import {useEffect, useState} from 'preact/hooks';
import {get, query, request, send, useData} from './api.js';
import {known, stamp, t} from './i18n.js';
import {Age, Conflicts, Data, Dialog, Empty, Field, Link, Plan, Planned, Trouble, announce, go, html} from './ui.js';

const part = encodeURIComponent;

export function Environments({application}) {
  const list = useData('/environments' + query({application}), ['stage', 'operation']);
  const [plan, set] = useState(null);
  const [error, fail] = useState(null);
  const begin = async (e) => {
    try { await send('POST', `/environments/${part(e.application)}/${part(e.name)}/stages`, {}); go('/stages'); } catch (x) { fail(x); }
  };
  return html`<h1 tabindex="-1">${t('environments')}${application && ' · ' + application}</h1><${Trouble} error=${error} />
    <${Data} from=${list}>${(value) => value.items.length === 0 ? html`<${Empty}>${t('noEnvironments')}<//>` : html`<ul class="grid">${value.items.map((e) => html`<li class="card" data-test="environment"><h2><${Link} to=${'/environments/' + part(e.application)}>${e.application}<//> · ${e.name}</h2>
      <p>${(e.target?.clusters || []).join(', ')} / ${e.target?.namespace}</p>
      ${e.from && html`<p class="dim">${t('promotesFrom', {from: e.from})}</p>`}
      ${e.gates?.approvals > 0 && html`<p class="dim">${t('nApprovals', {n: e.gates.approvals})}</p>`}
      ${e.target?.namespace && html`<p><${Link} to=${`/applications/${part(e.target.namespace)}/${part(e.application)}`}>${t('whatRuns')}<//></p>`}
      ${e.from && html`<p class="actions"><button data-test=${'promote-' + e.name} onClick=${() => set({title: t('promoteTo', e), ask: {method: 'POST', path: `/environments/${part(e.application)}/${part(e.name)}/promotions`, body: {}}})}>${t('promote')}</button>
      <button data-test=${'stage-' + e.name} onClick=${() => begin(e)}>${t('beginStage')}</button></p>`}</li>`)}</ul>`}<//>
    ${plan && html`<${Planned} ...${plan} close=${() => set(null)} />`}`;
}

export function Stages() {
  const list = useData('/stages', ['stage']);
  const [at, set] = useState(null);
  const over = (s) => !!s.ended;
  return html`<h1 tabindex="-1">${t('stages')}</h1><${Data} from=${list}>${(value) => value.items.length === 0 ? html`<${Empty}>${t('noStages')}<//>` : html`<ul class="plainlist">${value.items.map((s) => html`<li class="card" data-test="stage"><h2>${s.application} → ${s.environment} <span class=${'badge ' + s.state}>${known('stage', s.state)}</span></h2>
    <p>${s.reason}</p><p class="dim">${known('kind', s.kind)} · ${s.subject?.id} · <${Age} at=${s.created} /></p>
    ${(s.summary || []).map((x) => html`<p>${x}</p>`)}
    ${(s.approvals || []).map((a) => html`<p>✓ ${a.subject.id} <${Age} at=${a.time} /> ${a.comment}</p>`)}
    ${(s.checks || []).map((c) => html`<p>${c.passed ? '✓' : '✕'} ${c.name} ${c.message}</p>`)}
    ${(s.clusters || []).map((c) => html`<p>${c.cluster}: ${c.outcome} ${c.error}</p>`)}
    ${(!over(s) || s.state === 'failed') && html`<button onClick=${() => set(s)} data-test="stage-open">${t('lookAndDecide')}</button>`}</li>`)}</ul>`}<//>
    ${at && html`<${StageDialog} stage=${at} close=${() => { set(null); list.again(); }} />`}`;
}
function StageDialog({stage, close}) {
  const path = `/stages/${part(stage.application)}/${part(stage.id)}`;
  const plan = useData(path + '/plan');
  const [comment, say] = useState('');
  const [decisions, decide] = useState({});
  const [error, fail] = useState(null);
  const act = async (verb, body) => {
    try { await send('POST', `${path}/${verb}`, body); announce(t('done')); close(); } catch (e) { fail(e); }
  };
  return html`<${Dialog} title=${`${stage.application} → ${stage.environment}`} close=${close} test="stage-dialog"><div class="scroll"><${Trouble} error=${error} />
    ${stage.conflicts?.length > 0 && html`<${Conflicts} conflicts=${stage.conflicts} decisions=${decisions} decide=${decide} /><button onClick=${() => act('decisions', {decisions})} data-test="stage-decide">${t('decide')}</button>`}
    <${Data} from=${plan}>${(value) => value.plan && html`<${Plan} plan=${value.plan} />`}<//>
    <${Field} label=${t('comment')}><input value=${comment} onInput=${(e) => say(e.target.value)} data-test="stage-comment" /><//></div>
    <footer><button onClick=${() => act('cancellation', {comment})} data-test="stage-cancel">${t('takeBack')}</button><button onClick=${() => act('rejection', {comment})} class="danger" data-test="stage-reject">${t('reject')}</button>
    ${stage.state === 'failed' && html`<button onClick=${() => act('retry', {})} data-test="stage-retry">${t('again')}</button>`}
    <button class="primary" disabled=${!plan.value?.plan} onClick=${() => act('approval', {comment, planHash: plan.value.plan.hash})} data-test="stage-approve">${t('approve')}</button></footer><//>`;
}

export function Operations() {
  const [over, set] = useState(true);
  const [cursors, turn] = useState([]);
  const list = useData('/operations' + query({over, limit: 50, cursor: cursors.at(-1)}), ['operation']);
  return html`<h1 tabindex="-1">${t('operations')}</h1><label class="check"><input type="checkbox" checked=${over} onChange=${(e) => { turn([]); set(e.target.checked); }} data-test="operations-over" /> ${t('showOver')}</label>
    <${Data} from=${list}>${(value) => value.items.length === 0 ? html`<${Empty}>${t('noOperations')}<//>` : html`<div class="table" tabindex="0" role="region" aria-label=${t('operations')}><table data-test="operations"><thead><tr><th scope="col">${t('what')}</th><th scope="col">${t('application')}</th><th scope="col">${t('state')}</th><th scope="col">${t('who')}</th><th scope="col">${t('when')}</th></tr></thead><tbody>${value.items.map((o) => html`<tr><th scope="row"><${Link} to=${'/operations/' + o.id}>${known('kind', o.about?.kind || o.kind)}<//></th><td>${o.about?.application}</td><td><span class=${'badge ' + o.state}>${known('state', o.state)}</span></td><td>${o.subject?.id}</td><td><${Age} at=${o.created} /></td></tr>`)}</tbody></table></div>
    <nav class="pages" aria-label=${t('pages')}><button disabled=${!cursors.length} onClick=${() => turn(cursors.slice(0, -1))} data-test="page-before">${t('before')}</button><button disabled=${!value.next} onClick=${() => turn([...cursors, value.next])} data-test="page-next">${t('nextPage')}</button></nav>`}<//>`;
}
export function OperationPage({id}) {
  const op = useData('/operations/' + part(id), ['operation'], (v) => v.id === id);
  const [error, fail] = useState(null);
  const state = op.value?.state;
  useEffect(() => { if (state) announce(`${t('operation')}: ${known('state', state)}`); }, [state]);
  const cancel = async () => { try { await send('POST', `/operations/${part(id)}/cancellation`, {}); op.again(); } catch (e) { fail(e); } };
  return html`<h1 tabindex="-1">${t('operation')} ${op.value && html`<span class=${'badge ' + state} data-test="operation-state" data-state=${state}>${known('state', state)}</span>`}</h1><${Trouble} error=${error} /><${Data} from=${op}>${(o) => html`
    <p>${known('kind', o.about?.kind || o.kind)} · ${o.about?.application && o.about?.namespace ? html`<${Link} to=${`/applications/${part(o.about.namespace)}/${part(o.about.application)}`} data-test="operation-application">${o.about.application}<//>` : o.about?.application} · ${o.subject?.id} · <${Age} at=${o.created} /></p>
    ${o.error && html`<div class="trouble" role="alert"><p>${o.error}</p></div>`}
    ${!o.ended && html`<button onClick=${cancel} disabled=${o.cancelling} data-test="operation-cancel">${o.cancelling ? t('cancelling') : t('cancel')}</button>`}
    ${o.steps?.length > 0 && html`<h2>${t('steps')}</h2><ul class="plainlist">${o.steps.map((s) => html`<li><span class=${'badge ' + s.state}>${known('state', s.state)}</span> ${s.name} ${s.error && html`<span class="next">${s.error}</span>`}</li>`)}</ul>`}
    ${o.result?.clusters?.length > 0 && html`<h2>${t('result')}</h2><ul class="grid">${o.result.clusters.map((c) => html`<li class="card" data-test="result"><h3>${c.cluster} <span class=${'badge ' + c.outcome}>${known('outcome', c.outcome)}</span></h3><p>${t('counts', c)}</p>${c.error && html`<p class="next">${c.error}</p>`}${(c.components || []).map((p) => html`<p><b>${p.component}</b> ${known('outcome', p.outcome)} ${p.message}</p>`)}${(c.status?.components || []).flatMap((p) => (p.causes || []).map((x) => html`<p class="next">${p.id}: ${x.message} ${x.next && '→ ' + x.next}</p>`))}</li>`)}</ul>`}
    ${o.events?.length > 0 && html`<h2>${t('tab.events')}</h2><ul class="plainlist">${o.events.map((e) => html`<li><span class="dim">${new Date(e.time).toLocaleTimeString()}</span> ${e.cluster} ${e.message} ${e.total ? `${e.done}/${e.total}` : ''}</li>`)}</ul>`}`}<//>`;
}

const amounts = (a) => Object.entries(a || {}).map(([k, v]) => html`<tr><th scope="row">${k}</th><td>${String(v)}</td></tr>`);
export function Teams({me}) {
  const list = useData('/teams', ['team']);
  if (list.error && [404, 405].includes(list.error.status)) return html`<h1 tabindex="-1">${t('teams')}</h1><${Own} me=${me} />`;
  return html`<h1 tabindex="-1">${t('teams')}</h1><${Data} from=${list}>${(value) => value.items.length === 0 ? html`<${Empty}>${t('noTeams')}<//>` : html`<ul class="grid">${value.items.map((x) => html`<li class="card"><h2><${Link} to=${'/teams/' + part(x.id)}>${x.displayName || x.id}<//></h2><p class="dim">${t('nMembers', {n: x.members?.length || 0})}</p></li>`)}</ul>`}<//>`;
}
function Own({me}) {
  return me?.teams?.length ? html`<ul class="grid">${me.teams.map((m) => html`<li class="card"><h2>${m.displayName || m.team}</h2><p>${m.role}</p><p class="dim">${(m.permissions || []).join(', ')}</p></li>`)}</ul>` : html`<${Empty}>${t('noTeamsOffered')}<//>`;
}
export function TeamPage({team}) {
  const one = useData('/teams/' + part(team));
  const usage = useData('/teams/' + part(team) + '/usage', ['application']);
  if (one.error && [404, 405].includes(one.error.status)) return html`<h1 tabindex="-1">${team}</h1><${Empty}>${t('noTeamsOffered')}<//>`;
  return html`<h1 tabindex="-1">${one.value?.displayName || team}</h1><${Data} from=${one}>${(x) => html`<h2>${t('members')}</h2><ul class="plainlist">${(x.members || []).map((m) => html`<li><b>${m.subject}</b> ${m.role}</li>`)}</ul>
    <h2>${t('quota')}</h2><table><tbody>${amounts(x.quota)}</tbody></table>`}<//>
    <h2>${t('usage')}</h2><${Data} from=${usage}>${(u) => html`<ul class="grid">${(u.clusters || []).map((c) => html`<li class="card"><h3>${c.cluster}</h3>${c.unknown ? html`<p class="next">${c.error}</p>` : html`<h4>${t('quota')}</h4><table><tbody>${amounts(c.quota)}</tbody></table><h4>${t('reserved')}</h4><table><tbody>${amounts(c.reserved)}</tbody></table><h4>${t('free')}</h4><table><tbody>${amounts(c.free)}</tbody></table>`}</li>`)}</ul>`}<//>`;
}

export function Audit() {
  const [cursors, turn] = useState([]);
  const list = useData('/audit' + query({limit: 50, cursor: cursors.at(-1)}));
  if (list.error && [404, 405].includes(list.error.status)) return html`<h1 tabindex="-1">${t('audit')}</h1><${Empty}>${t('noAuditOffered')}<//>`;
  return html`<h1 tabindex="-1">${t('audit')}</h1><${Data} from=${list}>${(value) => value.items.length === 0 ? html`<${Empty}>${t('noAudit')}<//>` : html`<div class="table" tabindex="0" role="region" aria-label=${t('audit')}><table><thead><tr><th scope="col">${t('when')}</th><th scope="col">${t('who')}</th><th scope="col">${t('what')}</th><th scope="col">${t('outcome')}</th></tr></thead><tbody>${value.items.map((e) => html`<tr><td>${stamp(e.time)}</td><td>${e.subject?.id}</td><td>${e.access?.verb} ${e.access?.resource} ${[e.access?.team, e.access?.cluster, e.access?.namespace, e.access?.application].filter(Boolean).join(' / ')}</td><td>${e.outcome}</td></tr>`)}</tbody></table></div>
    <nav class="pages" aria-label=${t('pages')}><button disabled=${!cursors.length} onClick=${() => turn(cursors.slice(0, -1))} data-test="page-before">${t('before')}</button><button disabled=${!value.next} onClick=${() => turn([...cursors, value.next])} data-test="page-next">${t('nextPage')}</button></nav>`}<//>`;
}

export function Login({base, enter}) {
  const [error, fail] = useState(null);
  const [pages, set] = useState([]);
  useEffect(() => { get('/logins').then((x) => set(x.items)).catch(() => {}); }, []);
  const submit = async (e) => {
    e.preventDefault();
    try { await request('POST', '/session', {token: new FormData(e.target).get('token').trim()}); e.target.reset(); enter(); } catch (x) { fail(x); }
  };
  const to = new URLSearchParams(location.search).get('to') || '/';
  return html`<h1 tabindex="-1">${t('login')}</h1><${Trouble} error=${error} />
    ${pages.map((p) => html`<p><a class="button primary" href=${base + (p.path.startsWith(base) ? p.path.slice(base.length) : p.path) + query({to: base + to})} data-test=${'login-' + p.name}>${p.title}</a></p>`)}
    <form onSubmit=${submit} class="card narrow"><${Field} label=${t('token')} hint=${t('tokenHint')}><input name="token" type="password" required autocomplete="current-password" data-test="login-token" /><//><button class="primary" data-test="login-submit">${t('login')}</button></form>`;
}
