// The fleet: clusters, and one of them.
import {useState} from 'preact/hooks';
import {request, send, useData} from './api.js';
import {known, stamp, t} from './i18n.js';
import {Age, Ask, Badge, Data, Empty, Field, Link, Trouble, amount, announce, dnsLabel, go, html} from './ui.js';
import {linkTo} from './applications.js';

const path = (name) => '/clusters/' + encodeURIComponent(name);

// useFleet is the clusters with what runs on them.
export function useFleet() {
  const clusters = useData('/clusters?limit=1000', ['cluster']);
  const apps = useData('/applications?limit=1000', ['application', 'operation']);
  const runs = new Map();
  for (const app of apps.value?.items || []) for (const c of app.status?.clusters || []) {
    const values = runs.get(c.name) || {};
    values[c.value] = (values[c.value] || 0) + 1;
    runs.set(c.name, values);
  }
  return {apps, clusters, runs};
}

export function Fleet({fleet, heading}) {
  return html`<${Data} from=${fleet.clusters}>${(value) => value.items.length === 0 ? html`<${Empty}>${t('noClusters')}<//>` : html`<ul class="grid" data-test="fleet">${value.items.map((c) => html`<${Cluster} c=${c} runs=${fleet.runs.get(c.name) || {}} heading=${heading} />`)}</ul>`}<//>`;
}
function Cluster({c, runs, heading = 'h3'}) {
  const count = Object.values(runs).reduce((a, b) => a + b, 0);
  return html`<li class="card" data-test="cluster"><${heading}><${Link} to=${path(c.name)}>${c.name}<//> <${Badge} value=${c.health} kind="health" /><//>
    ${c.description && html`<p>${c.description}</p>`}<${Health} c=${c} />
    <p class="dim">${[c.info?.version, c.inspection?.nodes && t('nNodes', {n: c.inspection.nodes.length}), t('nApplications', {n: count})].filter(Boolean).join(' · ')}</p>
    <p>${Object.entries(runs).map(([value, n]) => html`<span class="count"><${Badge} value=${value} /> ${n}</span> `)}</p></li>`;
}
function Health({c}) {
  return html`${c.reasons?.map((r) => html`<p class="next">${r}</p>`)}${c.health !== 'ready' && html`<p class="dim">${known('health', c.health)} ${t('since')} <${Age} at=${c.since} />${c.lastAnswer && html` · ${t('lastAnswer')} <${Age} at=${c.lastAnswer} />`}</p>`}`;
}

export function Clusters({me}) {
  const fleet = useFleet();
  const [add, setAdd] = useState(false);
  return html`<h1 tabindex="-1">${t('clusters')}</h1>${me.operator && html`<p class="actions"><button onClick=${() => setAdd(true)} data-test="cluster-add">${t('clusterAdd')}</button></p>`}<${Fleet} fleet=${fleet} heading="h2" />
    ${add && html`<${Connect} close=${() => { setAdd(false); fleet.clusters.again(); }} />`}`;
}
function Connect({close}) {
  const [provider, choose] = useState('kubeconfig');
  return html`<${Ask} title=${t('clusterAdd')} close=${close} action=${t('add')} test="cluster-form" send=${async (f) => {
    await send('POST', '/clusters', {name: f.name, provider, ...(f.description ? {description: f.description} : {}), ...(provider === 'kubeconfig' ? {config: f.config, ...(f.context ? {context: f.context} : {})} : {unverified: true})});
    go(path(f.name));
  }}>
    <${Field} label=${t('name')}><input name="name" required pattern=${dnsLabel} data-test="cluster-name" /><//>
    <${Field} label=${t('description')}><input name="description" /><//>
    <${Field} label=${t('provider')}><select value=${provider} onChange=${(e) => choose(e.target.value)} data-test="cluster-provider">${['kubeconfig', 'tunnel'].map((p) => html`<option value=${p}>${t('provider.' + p)}</option>`)}</select><//>
    ${provider === 'kubeconfig' && html`<${Field} label=${t('kubeconfig')}><textarea name="config" rows="8" required spellcheck="false" data-test="cluster-config"></textarea><//><${Field} label=${t('context')} hint=${t('emptyIsCurrent')}><input name="context" /><//>`}<//>`;
}

const resources = ['cpu', 'memory', 'ephemeral-storage', 'pods'];
function Capacity({of}) {
  const names = [...resources, ...Object.keys(of.allocatable || {}).filter((r) => !resources.includes(r)).sort()].filter((r) => of.allocatable?.[r] || of.requested?.[r]);
  return html`<div class="table" tabindex="0" role="region" aria-label=${t('capacity')}><table><thead><tr><th scope="col">${t('resource')}</th><th scope="col">${t('requested')}</th><th scope="col">${t('used')}</th><th scope="col">${t('allocatable')}</th></tr></thead><tbody>${names.map((r) => html`<tr><th scope="row">${r}</th><td>${amount(of.requested?.[r]) ?? '0'}</td><td>${amount(of.used?.[r]) ?? t('notMeasured')}</td><td>${amount(of.allocatable?.[r])}</td></tr>`)}</tbody></table></div>`;
}

export function ClusterPage({name, me}) {
  const one = useData(path(name), ['cluster'], (v) => v.name === name);
  const past = useData(path(name) + '/history', ['cluster'], (v) => v.name === name);
  const fleet = useFleet();
  const [ask, setAsk] = useState('');
  const [error, fail] = useState(null);
  const act = async (method, to, body, headers) => {
    fail(null);
    try { await request(method, path(name) + to, body, headers); announce(t('done')); one.again(); } catch (e) { fail(e); }
  };
  const cordon = async (n) => {
    await act('PATCH', '/nodes/' + encodeURIComponent(n.name), {unschedulable: !n.unschedulable});
    await act('POST', '/checks', {}); // what is shown is what was read last
  };
  const here = (fleet.apps.value?.items || []).filter((a) => a.clusters?.some((x) => x.cluster === name));
  return html`<h1 tabindex="-1">${name} <${Badge} value=${one.value?.health} kind="health" /></h1><${Trouble} error=${error} /><${Data} from=${one}>${(c) => html`
    <div class="actions" role="group" aria-label=${t('actions')}><button onClick=${() => act('POST', '/checks', {})} data-test="cluster-check">${t('checkNow')}</button>
      ${me.operator && html`<button onClick=${() => c.health === 'maintenance' ? act('PATCH', '', {maintenance: ''}, {'If-Match': '*'}) : setAsk('maintenance')} data-test="cluster-maintenance">${c.health === 'maintenance' ? t('endMaintenance') : t('maintenance') + '…'}</button>
      ${c.provider === 'tunnel' && html`<button onClick=${() => setAsk('invite')} data-test="cluster-invite">${t('invite')}</button>`}
      <button class="danger" onClick=${() => setAsk('remove')} data-test="cluster-remove">${t('removeCluster')}…</button>`}</div>
    <section class="card"><${Health} c=${c} /><p>${c.description}</p><p class="dim">${[c.info?.version, c.provider, c.checked && t('checked') + ' ' + stamp(c.checked)].filter(Boolean).join(' · ')}</p>
      <p>${Object.entries(c.labels || {}).map(([k, v]) => html`<code class="label">${k}=${v}</code> `)}</p>
      ${c.info?.storageClasses?.length > 0 && html`<p>${t('storageClasses')}: ${c.info.storageClasses.map((x) => x.name + (x.default ? ' ★' : '')).join(', ')}</p>`}</section>
    ${c.inspection && html`<h2>${t('capacity')}</h2>${c.health === 'unreachable' && html`<p class="next">${t('staleSince')} <${Age} at=${c.inspection.at} /></p>`}<${Capacity} of=${c.inspection.capacity} />
      <h2>${t('nodes')}</h2>${!c.inspection.nodes?.length ? html`<${Empty}>${t('noNodes')}<//>` : html`<div class="table" tabindex="0" role="region" aria-label=${t('nodes')}><table data-test="nodes"><thead><tr><th scope="col">${t('name')}</th><th scope="col">${t('status')}</th><th scope="col">CPU</th><th scope="col">${t('memory')}</th><th scope="col">Pods</th>${me.operator && html`<th scope="col">${t('actions')}</th>`}</tr></thead><tbody>${c.inspection.nodes.map((n) => html`<tr><th scope="row">${n.name} <span class="dim">${[n.architecture, n.kubelet].filter(Boolean).join(' ')}</span></th><td><${Badge} value=${n.ready ? 'ready' : 'unreachable'} kind="node" /> ${n.unschedulable && html`<span class="badge stopped">${t('cordoned')}</span>`} ${n.problems?.join(', ')}</td>
        <td>${amount(n.capacity?.requested?.cpu) ?? '0'} / ${amount(n.capacity?.allocatable?.cpu)}</td><td>${amount(n.capacity?.requested?.memory) ?? '0'} / ${amount(n.capacity?.allocatable?.memory)}</td><td>${n.pods}</td>${me.operator && html`<td><button onClick=${() => cordon(n)}>${n.unschedulable ? t('uncordon') : t('cordon')}</button></td>`}</tr>`)}</tbody></table></div>`}`}
    <h2>${t('applications')}</h2>${here.length === 0 ? html`<${Empty}>${t('noApplications')}<//>` : html`<ul class="plainlist">${here.map((a) => html`<li><${Link} to=${linkTo(a)}>${a.namespace} / ${a.application}<//> <${Badge} value=${a.status?.clusters?.find((x) => x.name === name)?.value} /></li>`)}</ul>`}
    <h2>${t('history')}</h2><${Data} from=${past}>${(list) => html`<ul class="plainlist">${[...list.items].reverse().slice(0, 50).map((x) => html`<li><span class="dim">${stamp(x.at)}</span> <${Badge} value=${x.health} kind="health" /> ${x.reasons?.join('; ')}</li>`)}</ul>`}<//>
    ${ask === 'maintenance' && html`<${Ask} title=${t('maintenance')} close=${() => setAsk('')} action=${t('save')} send=${async (f) => { await request('PATCH', path(name), {maintenance: f.why}, {'If-Match': '*'}); one.again(); }}><${Field} label=${t('why')}><input name="why" required data-test="maintenance-why" /><//><//>`}
    ${ask === 'invite' && html`<${Invite} name=${name} close=${() => setAsk('')} />`}
    ${ask === 'remove' && html`<${Ask} title=${t('removeCluster')} close=${() => setAsk('')} action=${t('removeCluster')} danger test="cluster-remove-form" send=${async (f) => { await send('DELETE', path(name) + (f.force ? '?force=true' : '')); go('/clusters'); }}><p>${t('removeClusterWhy')}</p>${here.length > 0 && html`<label class="check"><input type="checkbox" name="force" /> ${t('removeThough', {n: here.length})}</label>`}<//>`}`}<//>`;
}
function Invite({name, close}) {
  const [made, make] = useState('');
  return html`<${Ask} title=${t('invite')} close=${close} action=${made ? '' : t('invite')} stay send=${async (f) => { make((await send('POST', path(name) + '/invitations', {image: f.image})).manifest); }}>
    ${made ? html`<p>${t('inviteApply')}</p><textarea rows="16" readonly aria-label=${t('text')}>${made}</textarea>` : html`<${Field} label=${t('agentImage')}><input name="image" required /><//>`}<//>`;
}
