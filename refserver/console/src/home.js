// The fleet and what needs attention; clusters.
import {useData} from './api.js';
import {known, t} from './i18n.js';
import {Age, Badge, Data, Empty, Link, html} from './ui.js';
import {Causes, linkTo} from './applications.js';

// fleetOf is what applications tell of clusters, where a server tells nothing
// else.
function fleetOf(list) {
  const seen = new Map();
  for (const app of list) for (const c of app.status?.clusters || []) {
    const one = seen.get(c.name) || {name: c.name, health: 'ready', applications: 0, values: {}};
    one.applications++;
    one.values[c.value] = (one.values[c.value] || 0) + 1;
    if (!c.fresh) { one.health = 'unreachable'; one.lastAnswer = c.observedAt; one.reasons = c.error ? [c.error] : []; }
    seen.set(c.name, one);
  }
  return [...seen.values()].sort((a, b) => a.name.localeCompare(b.name));
}
function useFleet() {
  const clusters = useData('/clusters', ['cluster']);
  const apps = useData('/applications?limit=1000', ['application']);
  const derived = apps.value ? fleetOf(apps.value.items) : [];
  const list = clusters.value ? clusters.value.items.map((c) => ({...derived.find((d) => d.name === c.name), ...c})) : derived;
  return {apps, list};
}
function Cluster({c}) {
  return html`<li class="card" data-test="cluster"><h3><${Link} to=${'/clusters/' + encodeURIComponent(c.name)}>${c.name}<//> <${Badge} value=${c.health} kind="health" /></h3>
    ${c.reasons?.map((r) => html`<p class="next">${r}</p>`)}
    ${c.lastAnswer && c.health !== 'ready' && html`<p class="dim">${t('lastAnswer')} <${Age} at=${c.lastAnswer} /></p>`}
    <p class="dim">${t('nApplications', {n: c.applications || 0})} ${c.info?.version || ''}</p>
    <p>${Object.entries(c.values || {}).map(([value, n]) => html`<span class="count"><${Badge} value=${value} /> ${n}</span> `)}</p></li>`;
}
export function Home() {
  const {apps, list} = useFleet();
  const stages = useData('/stages', ['stage']);
  const running = useData('/operations', ['operation']);
  return html`<h1 tabindex="-1">${t('overview')}</h1><${Data} from=${apps}>${(value) => {
    const bad = value.items.filter((a) => !['Ready', 'Stopped'].includes(a.status?.worst));
    const waiting = (stages.value?.items || []).filter((s) => ['waiting', 'conflicted', 'failed', 'rolledBack'].includes(s.state));
    return html`<section aria-labelledby="h-attention"><h2 id="h-attention">${t('attention')}</h2>
      ${bad.length + waiting.length === 0 ? html`<${Empty}>${value.items.length ? t('allWell') : html`${t('noApplications')} <${Link} to="/deploy" data-test="first-deploy">${t('deployOne')}<//>`}<//>` : html`<ul class="plainlist" data-test="attention">
        ${bad.map((a) => html`<li class="card"><h3><${Link} to=${linkTo(a)}>${a.application}<//> <small class="dim">${a.namespace}</small> <${Badge} value=${a.status?.worst} /></h3>
          ${(a.status?.clusters || []).flatMap((c) => [html`<${Causes} of=${c} where=${c.name} />`, ...(c.components || []).map((p) => html`<${Causes} of=${p} where=${c.name + ' / ' + p.id} />`)])}</li>`)}
        ${waiting.map((s) => html`<li class="card"><h3><${Link} to="/stages">${s.application} → ${s.environment}<//> <span class=${'badge ' + s.state}>${known('stage', s.state)}</span></h3><p>${s.reason}</p></li>`)}</ul>`}
    </section>
    ${running.value?.items.length > 0 && html`<section><h2>${t('running')}</h2><ul class="plainlist">${running.value.items.map((o) => html`<li><${Link} to=${'/operations/' + o.id}>${known('kind', o.about?.kind || o.kind)} ${o.about?.application || ''}<//> ${known('state', o.state)}</li>`)}</ul></section>`}
    <section aria-labelledby="h-fleet"><h2 id="h-fleet">${t('fleet')}</h2>${list.length ? html`<ul class="grid" data-test="fleet">${list.map((c) => html`<${Cluster} c=${c} />`)}</ul>` : html`<${Empty}>${t('noClusters')}<//>`}</section>`;
  }}<//>`;
}
export function Clusters() {
  const {apps, list} = useFleet();
  return html`<h1 tabindex="-1">${t('clusters')}</h1><${Data} from=${apps}>${() => list.length ? html`<ul class="grid">${list.map((c) => html`<${Cluster} c=${c} />`)}</ul>` : html`<${Empty}>${t('noClusters')}<//>`}<//>`;
}
export function ClusterPage({name}) {
  const {apps, list} = useFleet();
  return html`<h1 tabindex="-1">${name}</h1><${Data} from=${apps}>${(value) => {
    const c = list.find((x) => x.name === name);
    const here = value.items.filter((a) => a.clusters?.some((x) => x.cluster === name));
    return html`${c ? html`<ul class="grid"><${Cluster} c=${c} /></ul>` : html`<${Empty}>${t('noSuchCluster')}<//>`}
      <h2>${t('applications')}</h2><ul class="plainlist">${here.map((a) => html`<li><${Link} to=${linkTo(a)}>${a.namespace} / ${a.application}<//> <${Badge} value=${a.status?.clusters?.find((x) => x.name === name)?.value} /></li>`)}</ul>`;
  }}<//>`;
}
