// Teams, their members and what they may use.
import {useState} from 'preact/hooks';
import {request, send, useData} from './api.js';
import {known, t} from './i18n.js';
import {Age, Ask, Data, amount, Empty, Field, Link, dnsLabel, go, html} from './ui.js';

const path = (id) => '/teams/' + encodeURIComponent(id);
const roles = ['admin', 'developer', 'observer'];

export function Teams({me}) {
  const list = useData('/teams');
  const [add, setAdd] = useState(false);
  return html`<h1 tabindex="-1">${t('teams')}</h1>${me.operator && html`<p class="actions"><button onClick=${() => setAdd(true)} data-test="team-add">${t('addTeam')}</button></p>`}
    <${Data} from=${list}>${(value) => value.items.length === 0 ? html`<${Empty}>${me.operator ? t('noTeams') : t('noTeamsOffered')}<//>` : html`<ul class="grid" data-test="teams">${value.items.map((x) => html`<li class="card"><h2><${Link} to=${path(x.id)}>${x.displayName || x.id}<//></h2><p class="dim">${t('nMembers', {n: x.members?.length || 0})} · ${Object.keys(x.clusters || {}).join(', ')}</p></li>`)}</ul>`}<//>
    ${add && html`<${Ask} title=${t('addTeam')} close=${() => setAdd(false)} action=${t('add')} test="team-form" send=${async (f) => {
      await send('POST', '/teams', {id: f.id, ...(f.displayName ? {displayName: f.displayName} : {}), ...(f.admin ? {members: [{subject: f.admin, role: 'admin'}]} : {})});
      go(path(f.id));
    }}><${Field} label=${t('id')}><input name="id" required pattern=${dnsLabel} data-test="team-id" /><//><${Field} label=${t('displayName')}><input name="displayName" /><//><${Field} label=${t('firstAdmin')}><input name="admin" /><//><//>`}`;
}

// Amounts are quota, what of it is reserved, and what is free.
function Amounts({of, label}) {
  const names = [...new Set([...Object.keys(of.quota || {}), ...Object.keys(of.reserved || {})])].sort();
  if (!names.length) return html`<p class="dim">${t('noQuota')}</p>`;
  return html`<div class="table" tabindex="0" role="region" aria-label=${label}><table data-test="amounts"><thead><tr><th scope="col">${t('resource')}</th><th scope="col">${t('quota')}</th><th scope="col">${t('reserved')}</th><th scope="col">${t('free')}</th></tr></thead><tbody>${names.map((k) => html`<tr><th scope="row">${k}</th><td>${amount(of.quota?.[k]) ?? '–'}</td><td>${amount(of.reserved?.[k]) ?? '0'}</td><td>${amount(of.free?.[k]) ?? '–'}</td></tr>`)}</tbody></table></div>`;
}
const lines = (amounts) => Object.entries(amounts || {}).map(([k, v]) => `${k}=${v}`).join('\n');
const parsed = (text) => Object.fromEntries(text.split('\n').map((l) => l.trim()).filter(Boolean).map((l) => { const i = l.indexOf('='); return i < 0 ? [l, ''] : [l.slice(0, i).trim(), l.slice(i + 1).trim()]; }));

export function TeamPage({team, me}) {
  const one = useData(path(team));
  const usage = useData(path(team) + '/usage', ['application', 'operation']);
  const clusters = useData('/clusters?limit=1000');
  const [ask, setAsk] = useState(null);
  const may = (p) => me.operator || me.teams?.some((m) => m.team === team && m.permissions?.includes(p));
  const put = async (edit) => {
    const next = structuredClone(one.value);
    edit(next);
    try { await request('PUT', path(team), next, {'If-Match': one.value.etag}); } catch (e) { if (e.status === 412) one.again(); throw e; }
  };
  const close = () => { setAsk(null); one.again(); usage.again(); };
  return html`<h1 tabindex="-1">${one.value?.displayName || team}</h1><${Data} from=${one}>${(x) => html`
    <h2>${t('members')}</h2>${!x.members?.length ? html`<${Empty}>${t('noMembers')}<//>` : html`<ul class="plainlist" data-test="members">${x.members.map((m) => html`<li><b>${m.subject}</b> ${known('role', m.role)} ${may('member:update') && html`<button class="plain" onClick=${() => setAsk({kind: 'leave', m})} aria-label=${t('removeMember', {name: m.subject})}>✕</button>`}</li>`)}</ul>`}
    <p class="actions">${may('member:update') && html`<button onClick=${() => setAsk({kind: 'member'})} data-test="member-add">${t('addMember')}</button>`}
      ${me.operator && html`<button onClick=${() => setAsk({kind: 'quota'})} data-test="quota-edit">${t('editQuota')}</button> <button onClick=${() => setAsk({kind: 'allocate'})} data-test="allocate">${t('allocate')}</button>`}</p>
    <h2>${t('quota')}</h2><${Data} from=${usage}>${(u) => html`<${Amounts} of=${u} label=${t('quota')} />
      ${(u.clusters || []).length === 0 ? html`<${Empty}>${t('noUsage')}<//>` : u.clusters.map((c) => html`<section class="card"><h3>${c.cluster} <small class="dim">${(x.clusters?.[c.cluster]?.namespaces || []).map((n) => n.name).join(', ')}</small></h3>${c.unknown ? html`<p class="next">${t('unknownUsage')}: ${c.error} ${c.lastAnswer && html`· ${t('lastAnswer')} <${Age} at=${c.lastAnswer} />`}</p>` : html`<${Amounts} of=${c} label=${c.cluster} />`}</section>`)}`}<//>
    ${ask?.kind === 'member' && html`<${Ask} title=${t('addMember')} close=${close} action=${t('add')} test="member-form" send=${(f) => put((next) => { next.members = [...(next.members || []).filter((m) => m.subject !== f.subject), {subject: f.subject, role: f.role}]; })}>
      <${Field} label=${t('who')}><input name="subject" required data-test="member-subject" /><//><${Field} label=${t('role')}><select name="role" data-test="member-role">${[...roles, ...(x.roles || []).map((r) => r.name)].map((r) => html`<option value=${r}>${known('role', r)}</option>`)}</select><//><//>`}
    ${ask?.kind === 'leave' && html`<${Ask} title=${t('removeMember', {name: ask.m.subject})} close=${close} action=${t('delete')} danger send=${() => put((next) => { next.members = next.members.filter((m) => m.subject !== ask.m.subject); })} />`}
    ${ask?.kind === 'quota' && html`<${Ask} title=${t('editQuota')} close=${close} action=${t('save')} test="quota-form" send=${(f) => put((next) => { next.quota = parsed(f.quota); })}><${Field} label=${t('quota')} hint=${t('quotaHint')}><textarea name="quota" rows="6" defaultValue=${lines(x.quota)} data-test="quota-text"></textarea><//><//>`}
    ${ask?.kind === 'allocate' && html`<${Allocate} team=${team} has=${x.clusters || {}} clusters=${clusters} close=${close} />`}`}<//>`;
}

// Allocate gives a team namespaces and quota on a cluster, or changes what it has there.
function Allocate({team, has, clusters, close}) {
  const names = (clusters.value?.items || []).map((c) => c.name);
  const [cluster, choose] = useState('');
  const [warnings, warn] = useState([]);
  const at = cluster || names[0] || '';
  const now = has[at];
  const act = async (f) => {
    const done = await request('PUT', `${path(team)}/clusters/${encodeURIComponent(at)}`, {...now, namespaces: f.namespaces.split(/[\s,]+/).filter(Boolean).map((name) => ({...now?.namespaces?.find((n) => n.name === name), name})), quota: parsed(f.quota)});
    if (done?.warnings?.length) warn(done.warnings); else close();
  };
  if (warnings.length) return html`<${Ask} title=${t('allocate')} close=${close} test="allocate-form">${warnings.map((w) => html`<p class="next">${w}</p>`)}<//>`;
  return html`<${Ask} title=${t('allocate')} close=${close} action=${t('save')} stay test="allocate-form" send=${act}>
    <${Field} label=${t('cluster')}><select name="cluster" value=${at} onChange=${(e) => choose(e.target.value)}>${names.map((n) => html`<option>${n}</option>`)}</select><//>
    <${Field} label=${t('namespace')}><input key=${at} name="namespaces" required defaultValue=${now?.namespaces?.map((n) => n.name).join(', ') || team} /><//>
    <${Field} label=${t('quota')} hint=${t('quotaHint')}><textarea key=${at} name="quota" rows="4" defaultValue=${lines(now?.quota)}></textarea><//><//>`;
}
