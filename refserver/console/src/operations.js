// Operations in progress and over, and the audit.
import {useEffect, useState} from 'preact/hooks';
import {actingFor, base, query, send, useData} from './api.js';
import {known, stamp, t} from './i18n.js';
import {Causes} from './applications.js';
import {Age, Data, Empty, Field, Link, Pages, Trouble, announce, go, html} from './ui.js';

const part = encodeURIComponent;

export function Operations() {
  const [over, set] = useState(true);
  const [cursors, turn] = useState([]);
  const list = useData('/operations' + query({over, limit: 50, cursor: cursors.at(-1)}), ['operation']);
  return html`<h1 tabindex="-1">${t('operations')}</h1><label class="check"><input type="checkbox" checked=${over} onChange=${(e) => { turn([]); set(e.target.checked); }} data-test="operations-over" /> ${t('showOver')}</label>
    <${Data} from=${list}>${(value) => value.items.length === 0 ? html`<${Empty}>${t('noOperations')}<//>` : html`<div class="table" tabindex="0" role="region" aria-label=${t('operations')}><table data-test="operations"><thead><tr><th scope="col">${t('what')}</th><th scope="col">${t('application')}</th><th scope="col">${t('state')}</th><th scope="col">${t('who')}</th><th scope="col">${t('when')}</th></tr></thead><tbody>${value.items.map((o) => html`<tr><th scope="row"><${Link} to=${'/operations/' + o.id}>${known('kind', o.about?.action || o.kind)}<//></th><td>${o.about?.application}</td><td><span class=${'badge ' + o.state}>${known('state', o.state)}</span></td><td>${o.subject?.id}</td><td><${Age} at=${o.created} /></td></tr>`)}</tbody></table></div>
    <${Pages} cursors=${cursors} turn=${turn} next=${value.next} />`}<//>`;
}
// Now is what stands in the way of an operation that goes on.
function Now({about}) {
  const list = useData('/applications' + query({namespace: about.namespace, search: about.application}), ['application'], (v) => v.application === about.application);
  const app = list.value?.items.find((a) => a.application === about.application);
  return html`${(app?.status?.clusters || []).map((c) => html`<${Causes} of=${c} where=${c.name} />${(c.components || []).map((p) => html`<${Causes} of=${p} where=${c.name + ' / ' + p.id} />`)}`)}`;
}
export function OperationPage({id}) {
  const op = useData('/operations/' + part(id), ['operation'], (v) => v.id === id);
  const [error, fail] = useState(null);
  const state = op.value?.state;
  useEffect(() => { if (state) announce(`${t('operation')}: ${known('state', state)}`); }, [state]);
  const cancel = async () => { try { await send('POST', `/operations/${part(id)}/cancellation`, {}); op.again(); } catch (e) { fail(e); } };
  return html`<h1 tabindex="-1">${t('operation')} ${op.value && html`<span class=${'badge ' + state} data-test="operation-state" data-state=${state}>${known('state', state)}</span>`}</h1><${Trouble} error=${error} /><${Data} from=${op}>${(o) => html`
    <p>${known('kind', o.about?.action || o.kind)} · ${o.about?.application && o.about?.namespace ? html`<${Link} to=${`/applications/${part(o.about.namespace)}/${part(o.about.application)}`} data-test="operation-application">${o.about.application}<//>` : o.about?.application} · ${o.subject?.id} · <${Age} at=${o.created} /></p>
    ${o.error && html`<div class="trouble" role="alert"><p>${o.error}</p></div>`}
    ${!o.ended && html`<button onClick=${cancel} disabled=${o.cancelling} data-test="operation-cancel">${o.cancelling ? t('cancelling') : t('cancel')}</button>`}
    ${!o.ended && o.about?.application && o.about?.namespace && html`<${Now} about=${o.about} />`}
    ${o.steps?.length > 0 && html`<h2>${t('steps')}</h2><ul class="plainlist">${o.steps.map((s) => html`<li><span class=${'badge ' + s.state}>${known('state', s.state)}</span> ${s.name} ${s.error && html`<span class="next">${s.error}</span>`}</li>`)}</ul>`}
    ${o.result?.clusters?.length > 0 && html`<h2>${t('result')}</h2><ul class="grid">${o.result.clusters.map((c) => html`<li class="card" data-test="result"><h3>${c.cluster} <span class=${'badge ' + c.outcome}>${known('outcome', c.outcome)}</span></h3><p>${t('counts', c)}</p>${c.error && html`<p class="next">${c.error}</p>`}${(c.components || []).map((p) => html`<p><b>${p.component}</b> ${known('outcome', p.outcome)} ${p.message}</p>`)}${(c.status?.components || []).flatMap((p) => (p.causes || []).map((x) => html`<p class="next">${p.id}: ${x.message} ${x.next && '→ ' + x.next}</p>`))}</li>`)}</ul>`}
    ${o.events?.length > 0 && html`<h2>${t('tab.events')}</h2><ul class="plainlist">${o.events.map((e) => html`<li><span class="dim">${new Date(e.time).toLocaleTimeString()}</span> ${e.cluster} ${e.message} ${e.total ? `${e.done}/${e.total}` : ''}</li>`)}</ul>`}`}<//>`;
}

export function Audit({search}) {
  const [cursors, turn] = useState([]);
  const who = new URLSearchParams(search).get('subject') || '';
  const list = useData('/audit' + query({limit: 50, cursor: cursors.at(-1), subject: who}));
  return html`<h1 tabindex="-1">${t('audit')}</h1><form class="filters" role="search" onSubmit=${(e) => { e.preventDefault(); turn([]); go('/audit' + query({subject: new FormData(e.target).get('subject').trim()}), true); }}><${Field} label=${t('who')}><input name="subject" type="search" defaultValue=${who} data-test="audit-subject" /><//></form>
    <${Data} from=${list}>${(value) => value.items.length === 0 ? html`<${Empty}>${t('noAudit')}<//>` : html`<div class="table" tabindex="0" role="region" aria-label=${t('audit')}><table data-test="audit"><thead><tr><th scope="col">${t('when')}</th><th scope="col">${t('who')}</th><th scope="col">${t('what')}</th><th scope="col">${t('outcome')}</th></tr></thead><tbody>${value.items.map((e) => html`<tr><td>${stamp(e.time)}</td><td>${e.subject?.id || t('nobody')}</td><td>${e.access?.verb} ${e.access?.resource} <span class="dim">${[e.access?.team, e.access?.cluster, e.access?.namespace, e.access?.application].filter(Boolean).join(' / ')}</span></td><td class=${/denied|nobody is logged in|failed/.test(e.outcome) ? 'next' : ''}>${e.outcome}</td></tr>`)}</tbody></table></div>
    <p><a href=${base + '/api/v1/audit/export' + query({subject: who, team: actingFor()})} download="audit.ndjson">${t('export')}</a></p><${Pages} cursors=${cursors} turn=${turn} next=${value.next} />`}<//>`;
}
