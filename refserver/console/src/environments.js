// Environments, and what goes through their gates.
import {useState} from 'preact/hooks';
import {actingFor, query, request, send, useData} from './api.js';
import {known, t} from './i18n.js';
import {Age, Ask, Conflicts, Data, Dialog, Empty, Field, Link, Plan, Planned, Trouble, announce, dnsLabel, go, html} from './ui.js';

const part = encodeURIComponent;
const pathOf = (e, rest = '') => `/environments/${part(e.application)}/${part(e.name)}${rest}${query({of: e.target?.team})}`;

export function Environments({application}) {
  const list = useData('/environments' + query({application}), ['stage', 'operation']);
  const [plan, set] = useState(null);
  const [ask, setAsk] = useState(null);
  const [error, fail] = useState(null);
  const [busy, work] = useState(false);
  const begin = async (e) => {
    work(true);
    try { await send('POST', pathOf(e, '/stages'), {}); go('/stages'); } catch (x) { fail(x); work(false); }
  };
  return html`<h1 tabindex="-1">${t('environments')}${application && ' · ' + application}</h1><${Trouble} error=${error} />
    <p class="actions"><button onClick=${() => setAsk({})} data-test="environment-add">${t('addEnvironment')}</button></p>
    <${Data} from=${list}>${(value) => value.items.length === 0 ? html`<${Empty}>${t('noEnvironments')}<//>` : html`<ul class="grid">${value.items.map((e) => html`<li class="card" data-test="environment"><h2><${Link} to=${'/environments/' + part(e.application)}>${e.application}<//> · ${e.name}</h2>
      <p>${(e.target?.clusters || []).join(', ')} / ${e.target?.namespace}${e.target?.team && ` · ${e.target.team}`}</p>
      ${e.from && html`<p class="dim">${t('promotesFrom', {from: e.fromTeam ? `${e.fromTeam}: ${e.from}` : e.from})}</p>`}
      ${e.gates?.approvals > 0 && html`<p class="dim">${t('nApprovals', {n: e.gates.approvals})}</p>`}
      ${e.target?.namespace && html`<p><${Link} to=${`/applications/${part(e.target.namespace)}/${part(e.application)}`}>${t('whatRuns')}<//></p>`}
      ${e.from && html`<p class="actions"><button data-test=${'promote-' + e.name} onClick=${() => set({title: t('promoteTo', e), ask: {method: 'POST', path: `/environments/${part(e.application)}/${part(e.name)}/promotions`, query: e.target?.team ? {of: e.target.team} : {}, body: {}}})}>${t('promote')}</button>
      <button disabled=${busy} data-test=${'stage-' + e.name} onClick=${() => begin(e)}>${t('beginStage')}</button></p>`}
      <p><button class="plain" onClick=${() => setAsk({remove: e})} data-test=${'environment-remove-' + e.name}>${t('delete')}…</button></p></li>`)}</ul>`}<//>
    ${plan && html`<${Planned} ...${plan} close=${() => set(null)} />`}
    ${ask?.remove && html`<${Ask} title=${t('removeEnvironment', ask.remove)} close=${() => { setAsk(null); list.again(); }} action=${t('delete')} danger send=${() => send('DELETE', pathOf(ask.remove))} />`}
    ${ask && !ask.remove && html`<${NewEnvironment} application=${application} close=${() => { setAsk(null); list.again(); }} />`}`;
}

function NewEnvironment({application, close}) {
  const apps = useData('/applications?limit=1000');
  const envs = useData('/environments');
  const clusters = useData('/clusters?limit=1000');
  const [name, choose] = useState(application || '');
  const [picked, pick] = useState([]);
  const names = [...new Set((apps.value?.items || []).map((a) => a.application))].sort();
  const from = [...new Set((envs.value?.items || []).filter((e) => e.application === name).map((e) => e.name))];
  return html`<${Ask} title=${t('addEnvironment')} close=${close} action=${t('add')} test="environment-form" send=${(f) => request('PUT', `/environments/${part(name)}/${part(f.name)}`,
    {target: {clusters: picked, namespace: f.namespace, ...(f.team ? {team: f.team} : {})}, ...(f.from ? {from: f.from} : {}), ...(Number(f.approvals) ? {gates: {approvals: Number(f.approvals)}} : {}), auto: !!f.auto, rollBack: !!f.rollBack})}>
    <${Field} label=${t('application')}><input list="applications" required value=${name} onInput=${(e) => choose(e.target.value)} data-test="environment-application" /><datalist id="applications">${names.map((n) => html`<option value=${n} />`)}</datalist><//>
    <${Field} label=${t('name')}><input name="name" required pattern=${dnsLabel} data-test="environment-name" /><//>
    <div class="picks" role="group" aria-label=${t('clusters')}>${(clusters.value?.items || []).map((c) => html`<label class="pick"><input type="checkbox" checked=${picked.includes(c.name)} data-test=${'environment-on-' + c.name} onChange=${(e) => pick(e.target.checked ? [...picked, c.name] : picked.filter((x) => x !== c.name))} /> ${c.name}</label>`)}</div>
    <${Field} label=${t('namespace')}><input name="namespace" required data-test="environment-namespace" /><//><${Field} label=${t('team')}><input name="team" defaultValue=${actingFor()} /><//>
    <${Field} label=${t('from')}><select name="from" data-test="environment-from"><option value="">${t('fromNothing')}</option>${from.map((n) => html`<option>${n}</option>`)}</select><//>
    <${Field} label=${t('approvals')}><input name="approvals" type="number" min="0" max="20" defaultValue="0" /><//>
    <label class="check"><input type="checkbox" name="auto" /> ${t('auto')}</label><label class="check"><input type="checkbox" name="rollBack" /> ${t('rollBack')}</label><//>`;
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
    ${(!over(s) || again(s)) && html`<button onClick=${() => set(s)} data-test="stage-open">${t('lookAndDecide')}</button>`}</li>`)}</ul>`}<//>
    ${at && html`<${StageDialog} stage=${at} close=${() => { set(null); list.again(); }} />`}`;
}
// again reports whether a stage that is over may be begun anew.
const again = (s) => s.state === 'failed' || s.state === 'rolledBack';

function StageDialog({stage, close}) {
  const path = `/stages/${part(stage.application)}/${part(stage.id)}`;
  const plan = useData(stage.ended ? '' : path + '/plan');
  const [busy, work] = useState(false);
  const [comment, say] = useState('');
  const [decisions, decide] = useState({});
  const [error, fail] = useState(null);
  const act = async (verb, body) => {
    work(true);
    try { await send('POST', `${path}/${verb}`, body); announce(t('done')); close(); } catch (e) { fail(e); work(false); }
  };
  return html`<${Dialog} title=${`${stage.application} → ${stage.environment}`} close=${close} test="stage-dialog"><div class="scroll" tabindex="0"><${Trouble} error=${error} />
    ${stage.conflicts?.length > 0 && html`<${Conflicts} conflicts=${stage.conflicts} decisions=${decisions} decide=${decide} /><button onClick=${() => act('decisions', {decisions})} data-test="stage-decide">${t('decide')}</button>`}
    ${!stage.ended && html`<${Data} from=${plan}>${(value) => value.plan && html`<${Plan} plan=${value.plan} />`}<//>`}
    <${Field} label=${t('comment')}><input value=${comment} onInput=${(e) => say(e.target.value)} data-test="stage-comment" /><//></div>
    <footer>${stage.ended ? again(stage) && html`<button disabled=${busy} onClick=${() => act('retry', {})} data-test="stage-retry">${t('again')}</button>` : html`<button disabled=${busy} onClick=${() => act('cancellation', {comment})} data-test="stage-cancel">${t('takeBack')}</button><button disabled=${busy} onClick=${() => act('rejection', {comment})} class="danger" data-test="stage-reject">${t('reject')}</button>
    <button class="primary" disabled=${busy || !plan.value?.plan} onClick=${() => act('approval', {comment, planHash: plan.value.plan.hash})} data-test="stage-approve">${t('approve')}</button>`}</footer><//>`;
}
