// The first page: what needs attention, what is under way, the fleet.
import {useEffect} from 'preact/hooks';
import {useData} from './api.js';
import {known, t} from './i18n.js';
import {Age, Badge, Data, Empty, Link, html} from './ui.js';
import {Causes, linkTo} from './applications.js';
import {Fleet, useFleet} from './clusters.js';

const calm = ['Ready', 'Stopped', 'Progressing'];

export function Home() {
  const fleet = useFleet();
  const stages = useData('/stages', ['stage']);
  const running = useData('/operations?limit=20', ['operation']);
  useEffect(() => { if (fleet.apps.value && fleet.clusters.value) performance.mark('appspan-shown'); }, [fleet.apps.value, fleet.clusters.value]);
  const waiting = (stages.value?.items || []).filter((s) => ['waiting', 'conflicted', 'failed'].includes(s.state));
  return html`<h1 tabindex="-1">${t('overview')}</h1>
    <section aria-labelledby="h-attention"><h2 id="h-attention">${t('attention')}</h2><${Data} from=${fleet.apps}>${(value) => {
      const bad = value.items.filter((a) => !calm.includes(a.status?.worst));
      const lost = (fleet.clusters.value?.items || []).filter((c) => ['unreachable', 'degraded'].includes(c.health));
      const part = value.next && html`<p class="next">${t('firstOnly', {n: value.items.length})}</p>`;
      if (bad.length + waiting.length + lost.length === 0) return part || html`<${Empty}>${value.items.length ? t('allWell') : html`${t('noApplications')} <${Link} to="/deploy" data-test="first-deploy">${t('deployOne')}<//>`}<//>`;
      return html`${part}<ul class="plainlist" data-test="attention">
        ${lost.map((c) => html`<li class="card"><h3><${Link} to=${'/clusters/' + encodeURIComponent(c.name)}>${c.name}<//> <${Badge} value=${c.health} kind="health" /></h3><p>${c.reasons?.join('; ')} <span class="dim">${t('since')} <${Age} at=${c.since} /></span></p></li>`)}
        ${bad.map((a) => html`<li class="card"><h3><${Link} to=${linkTo(a)}>${a.application}<//> <small class="dim">${a.namespace}</small> <${Badge} value=${a.status?.worst} /></h3>
          ${(a.status?.clusters || []).flatMap((c) => [html`<${Causes} of=${c} where=${c.name} />`, ...(c.components || []).map((p) => html`<${Causes} of=${p} where=${c.name + ' / ' + p.id} />`)])}</li>`)}
        ${waiting.map((s) => html`<li class="card"><h3><${Link} to="/stages">${s.application} → ${s.environment}<//> <span class=${'badge ' + s.state}>${known('stage', s.state)}</span></h3><p>${s.reason}</p></li>`)}</ul>`;
    }}<//></section>
    ${running.value?.items.length > 0 && html`<section aria-labelledby="h-running"><h2 id="h-running">${t('running')}</h2><ul class="plainlist">${running.value.items.map((o) => html`<li><${Link} to=${'/operations/' + o.id}>${known('kind', o.about?.action || o.kind)} ${o.about?.application || ''}<//> <span class=${'badge ' + o.state}>${known('state', o.state)}</span> <span class="dim"><${Age} at=${o.created} /></span></li>`)}</ul></section>`}
    <section aria-labelledby="h-fleet"><h2 id="h-fleet">${t('fleet')}</h2><${Fleet} fleet=${fleet} /></section>`;
}
