// The recycle bin: what was removed and may come back.
import {useState} from 'preact/hooks';
import {appPath, useData} from './api.js';
import {known, t} from './i18n.js';
import {Age, Data, Empty, Planned, html} from './ui.js';

export function Recycled() {
  const list = useData('/recycled', ['operation']);
  const [plan, set] = useState(null);
  return html`<h1 tabindex="-1">${t('recycled')}</h1><${Data} from=${list}>${(value) => html`
    ${value.unreachable?.map((u) => html`<p class="next">${u.cluster}: ${u.reason} <${Age} at=${u.since} /></p>`)}
    ${value.items.length === 0 ? html`<${Empty}>${t('noRecycled')}<//>` : html`<div class="table" tabindex="0" role="region" aria-label=${t('recycled')}><table data-test="recycled"><thead><tr><th scope="col">${t('name')}</th><th scope="col">${t('namespace')}</th><th scope="col">${t('cluster')}</th><th scope="col">${t('when')}</th><th scope="col">${t('who')}</th><th scope="col">${t('actions')}</th></tr></thead><tbody>${value.items.map((r) => html`<tr><th scope="row">${r.application} <span class="dim">${t('revision', r)}</span></th><td>${r.namespace}</td><td>${r.cluster}</td><td><${Age} at=${r.at} /></td><td>${r.by}</td>
      <td><button onClick=${() => set({title: `${known('kind', 'restore')}: ${r.application}`, ask: {method: 'POST', path: appPath(r) + '/restorations', query: {cluster: r.cluster}, body: {}}})} data-test="do-restore">${known('kind', 'restore')}</button></td></tr>`)}</tbody></table></div>`}`}<//>
    ${plan && html`<${Planned} ...${plan} close=${() => { set(null); list.again(); }} />`}`;
}
