// The list of applications, and one of them.
import {useEffect, useRef, useState} from 'preact/hooks';
import {appPath, end, get, query, stream, useData} from './api.js';
import {ago, known, stamp, t} from './i18n.js';
import {Age, Badge, Data, Dialog, Empty, Field, Leaf, Link, Pages, Planned, Trouble, go, html} from './ui.js';

export const linkTo = (a) => `/applications/${encodeURIComponent(a.namespace)}/${encodeURIComponent(a.application)}`;

export function Causes({of, where}) {
  return (of.causes || []).map((c) => html`<div class="cause" data-test="cause">${where && html`<b>${where}</b> · `}<b>${known('reason', c.reason)}</b> ${c.count > 1 ? `×${c.count}` : ''} ${c.since && html`<span class="dim"><${Age} at=${c.since} /></span>`}
    <p>${c.message}${c.object && html` <span class="dim">${c.object}${c.container ? ' / ' + c.container : ''}</span>`}</p>${c.next && html`<p class="next">→ ${c.next}</p>`}</div>`);
}

export function Applications({search}) {
  const q = new URLSearchParams(search);
  const [cursors, setCursors] = useState([]);
  const filters = ['search', 'status', 'cluster', 'namespace', 'environment'];
  const values = Object.fromEntries(filters.map((f) => [f, q.get(f) || '']));
  const list = useData('/applications' + query({...values, limit: 25, cursor: cursors.at(-1)}), ['application', 'operation']);
  const timer = useRef(0);
  useEffect(() => () => clearTimeout(timer.current), []);
  const set = (name, value) => { clearTimeout(timer.current); timer.current = setTimeout(() => { setCursors([]); go('/applications' + query({...values, [name]: value}), true); }, name === 'status' ? 0 : 250); };
  return html`<h1 tabindex="-1">${t('applications')}</h1><p><${Link} to="/deploy">${t('deploy')}<//> · <${Link} to="/recycled" data-test="nav-recycled">${t('recycled')}<//></p>
    <form class="filters" role="search" onSubmit=${(e) => e.preventDefault()}>${filters.map((f) => html`<${Field} label=${t(f)}>${f === 'status' ? html`<select data-test="filter-status" value=${values.status} onChange=${(e) => set('status', e.target.value)}><option value="">${t('any')}</option>${['Ready', 'Progressing', 'Degraded', 'Failed', 'Stopped', 'Unknown', 'Absent'].map((v) => html`<option value=${v}>${known('value', v)}</option>`)}</select>` : html`<input type=${f === 'search' ? 'search' : 'text'} defaultValue=${values[f]} data-test=${'filter-' + f} onInput=${(e) => set(f, e.target.value.trim())} />`}<//>`)}</form>
    <${Data} from=${list}>${(value) => value.items.length === 0 ? html`<${Empty}>${Object.values(values).some(Boolean) ? t('noMatch') : html`${t('noApplications')} <${Link} to="/deploy">${t('deployOne')}<//>`}<//><${Pages} cursors=${cursors} turn=${setCursors} />` : html`<div class="table" tabindex="0" role="region" aria-label=${t('applications')}><table data-test="applications"><thead><tr><th scope="col">${t('name')}</th><th scope="col">${t('namespace')}</th><th scope="col">${t('status')}</th><th scope="col">${t('clusters')}</th><th scope="col">${t('environment')}</th><th scope="col">${t('team')}</th></tr></thead><tbody>
      ${value.items.map((a) => html`<tr key=${linkTo(a)}><th scope="row"><${Link} to=${linkTo(a)} data-test="application">${a.application}<//>${a.operation && html` <${Link} to=${'/operations/' + a.operation} class="badge progressing">${t('underWay')}<//>`}</th><td>${a.namespace}</td><td><${Badge} value=${a.status?.worst} /></td><td>${a.clusters?.map((c) => c.cluster).join(', ')}</td><td>${a.environment}</td><td>${a.team}</td></tr>`)}</tbody></table></div>
      <${Pages} cursors=${cursors} turn=${setCursors} next=${value.next} />`}<//>`;
}

const tabs = ['status', 'releases', 'events', 'logs', 'drift'];
export function ApplicationPage({namespace, name, search}) {
  const me = {namespace, application: name};
  const path = appPath(me);
  const tab = tabs.includes(new URLSearchParams(search).get('tab')) ? new URLSearchParams(search).get('tab') : 'status';
  const app = useData(path, ['application', 'operation'], (v) => (v.application || v.about?.application) === name);
  const [plan, setPlan] = useState(null);
  const [form, setForm] = useState(null);
  const View = {status: Status, releases: Releases, events: Events, logs: Logs, drift: Drift}[tab];
  const command = (kind, more = {}) => setPlan({title: `${known('kind', kind)}: ${name}`, ask: {method: 'POST', path: path + '/commands', body: {kind, at: new Date().toISOString(), ...more}}});
  const keys = (e) => {
    const at = tabs.indexOf(tab) + (e.key === 'ArrowRight' ? 1 : e.key === 'ArrowLeft' ? -1 : 0);
    if (tabs[at] && tabs[at] !== tab) { go(linkTo(me) + '?tab=' + tabs[at]); document.getElementById('tab-' + tabs[at])?.focus(); }
  };
  return html`<h1 tabindex="-1">${name} <small class="dim" data-test="namespace">${namespace}</small> <${Badge} value=${app.value?.status?.worst} /></h1>
    ${app.value?.operation && html`<p><${Link} to=${'/operations/' + app.value.operation} data-test="under-way">${t('underWay')}<//></p>`}
    <div class="actions" role="group" aria-label=${t('actions')}>${['start', 'stop', 'restart', 'pause', 'resume', 'redeploy'].map((kind) => html`<button onClick=${() => command(kind)} data-test=${'do-' + kind}>${known('kind', kind)}</button>`)}
      ${['scale', 'image', 'rollback', 'copy', 'remove'].map((kind) => html`<button class=${kind === 'remove' ? 'danger' : ''} onClick=${() => setForm(kind)} data-test=${'do-' + kind}>${known('kind', kind)}…</button>`)}
      <button onClick=${() => setPlan({title: `${known('kind', 'promote')}: ${name}`, ask: {method: 'POST', path: path + '/promotions', body: {}}})} data-test="do-promote">${t('promoteIn')}</button>
      <${Link} class="button" to=${'/deploy' + query({from: namespace + '/' + name})} data-test="do-change">${t('change')}<//></div>
    <div role="tablist" aria-label=${t('views')} onKeyDown=${keys}>${tabs.map((x) => html`<button role="tab" id=${'tab-' + x} aria-selected=${String(x === tab)} aria-controls="panel" tabindex=${x === tab ? 0 : -1} onClick=${() => go(linkTo(me) + '?tab=' + x)} data-test=${'tab-' + x}>${t('tab.' + x)}</button>`)}</div>
    <div role="tabpanel" id="panel" aria-labelledby=${'tab-' + tab} tabindex="0"><${Data} from=${app}>${(value) => html`<${View} app=${value} path=${path} plan=${setPlan} />`}<//></div>
    ${form && app.value && html`<${ActionForm} kind=${form} app=${app.value} path=${path} close=${() => setForm(null)} plan=${(p) => { setForm(null); setPlan(p); }} command=${(...a) => { setForm(null); command(...a); }} />`}
    ${plan && html`<${Planned} key=${plan.title} ...${plan} close=${() => { setPlan(null); app.again(); }} />`}`;
}

function Status({app}) {
  const clusters = app.status?.clusters || [];
  if (!clusters.length) return html`<${Empty}>${t('notSeen')}<//>`;
  return html`<ul class="tree" data-test="status-tree">${clusters.map((c) => html`<li class="card"><h2>${c.name} <${Badge} value=${c.value} /> <small class="dim">${c.revision ? t('revision', c) : ''}</small></h2>
    ${!c.fresh && html`<p class="next" data-test="stale">${t('staleSince')} ${c.observedAt ? ago(c.observedAt) : t('never')}${c.lastKnown && html` · ${t('lastKnown')} <${Badge} value=${c.lastKnown} />`} ${c.error}</p>`}
    <${Causes} of=${c} /><ul>${(c.components || []).map((p) => html`<li data-test="component"><b>${p.id}</b> <${Badge} value=${p.value} /> <span class="dim">${p.kind} ${p.message}</span><${Causes} of=${p} /></li>`)}</ul></li>`)}</ul>`;
}

function Releases({app, path, plan}) {
  const list = useData(path + '/releases', ['operation']);
  const [at, set] = useState(null);
  return html`<${Data} from=${list}>${(value) => html`${(app.clusters || []).filter((c) => !(c.cluster in value)).map((c) => html`<p class="next">${c.cluster}: ${t('noAnswer')}</p>`)}${Object.entries(value).map(([cluster, releases]) => html`<h2>${cluster}</h2><div class="table" tabindex="0" role="region" aria-label=${cluster}><table data-test="releases"><thead><tr><th scope="col">${t('release')}</th><th scope="col">${t('what')}</th><th scope="col">${t('state')}</th><th scope="col">${t('when')}</th><th scope="col">${t('who')}</th><th scope="col">${t('actions')}</th></tr></thead><tbody>
    ${releases.map((r, i) => html`<tr><th scope="row">${r.revision}</th><td>${known('kind', r.kind)}</td><td>${known('release', r.state)} <span class="dim">${r.message}</span></td><td><${Age} at=${r.started} /></td><td>${r.subject}</td><td>
      ${r.revision > 1 && html`<button onClick=${() => set({cluster, revision: r.revision})} data-test="release-changes">${t('changes')}</button>`}
      ${i > 0 && html`<button onClick=${() => plan({title: t('backTo', r), ask: {method: 'POST', path: path + '/rollbacks', body: {revision: r.revision, clusters: [cluster]}}})} data-test="release-rollback">${t('backTo', r)}</button>`}</td></tr>`)}</tbody></table></div>`)}`}<//>
    ${at && html`<${Dialog} title=${`${at.cluster} · ${t('revision', at)}`} close=${() => set(null)} test="changes-dialog"><div class="scroll" tabindex="0"><${Changes} path=${`${path}/releases/${at.cluster}/${at.revision}/changes`} /></div><//>`}`;
}
function Changes({path}) {
  const list = useData(path);
  return html`<${Data} from=${list}>${(value) => value.items.length ? html`<ul class="changes">${value.items.map((c) => html`<li><code>${c.path}</code> <${Leaf} change=${c} /></li>`)}</ul>` : html`<${Empty}>${t('nothingChanged')}<//>`}<//>`;
}
function Events({path}) {
  const list = useData(path + '/events', ['application']);
  return html`<${Data} from=${list}>${(value) => html`${value.missing?.map((m) => html`<p class="next">${m.cluster}: ${m.error}</p>`)}${(value.events || []).length === 0 ? value.missing?.length ? '' : html`<${Empty}>${t('noEvents')}<//>` : html`<ul class="plainlist" data-test="events">${value.events.map((e) => html`<li><${Age} at=${e.last} /> <b>${e.cluster}</b> ${e.object?.kind} ${e.object?.name} <b>${e.reason}</b> ${e.count > 1 ? `×${e.count}` : ''} ${e.message}</li>`)}</ul>`}`}<//>`;
}
function Logs({app, path}) {
  const [lines, set] = useState([]);
  const [error, fail] = useState(null);
  const [component, choose] = useState('');
  const [follow, setFollow] = useState(true);
  const box = useRef();
  useEffect(() => {
    set([]); fail(null);
    let kept = [], timer = 0;
    const show = () => { timer = 0; set(kept); };
    const source = stream(path + '/logs' + query({follow, tail: 200, component}));
    source.addEventListener('line', (e) => { kept = [...kept.slice(-1999), JSON.parse(e.data)]; timer ||= setTimeout(show, 100); });
    source.addEventListener('problem', (e) => { fail(JSON.parse(e.data)); end(source); });
    source.addEventListener('end', () => end(source));
    source.onerror = () => { if (source.readyState === EventSource.CLOSED) get(path + '/logs' + query({tail: 1, component})).catch((e) => { if (!e.strange) fail(e); }); };
    return () => { clearTimeout(timer); end(source); };
  }, [path, component, follow]);
  useEffect(() => { if (follow && box.current) box.current.scrollTop = box.current.scrollHeight; }, [lines]);
  const components = [...new Set((app.status?.clusters || []).flatMap((c) => (c.components || []).map((p) => p.id)))];
  return html`<div class="filters"><${Field} label=${t('component')}><select value=${component} onChange=${(e) => choose(e.target.value)} data-test="log-component"><option value="">${t('any')}</option>${components.map((c) => html`<option>${c}</option>`)}</select><//><label class="check"><input type="checkbox" checked=${follow} onChange=${(e) => setFollow(e.target.checked)} data-test="log-follow" /> ${t('follow')}</label></div>
    <${Trouble} error=${error} /><pre class="log" ref=${box} tabindex="0" role="log" aria-live="off" aria-label=${t('tab.logs')} data-test="log">${lines.map((l) => html`<div><span class="dim">${l.time ? new Date(l.time).toLocaleTimeString() : ''} ${l.cluster}/${l.component}</span> ${l.kind && html`<em>${known('line', l.kind)}</em> `}${l.text}</div>`)}${!lines.length && !error && t('noLines')}</pre>`;
}
function Drift({path, plan}) {
  const drift = useData(path + '/drift');
  return html`<p><button onClick=${drift.again} data-test="drift-again">${t('lookAgain')}</button> <button onClick=${() => plan({title: t('heal'), ask: {method: 'POST', path: path + '/heals', body: {policy: {default: 'heal'}}}})} data-test="do-heal">${t('heal')}</button></p>
    <${Data} from=${drift}>${(value) => value.clusters.map((c) => html`<section class="card" data-test="drift"><h2>${c.cluster}</h2>${c.unknown ? html`<p class="next">${c.error} · ${t('lastAnswer')} <${Age} at=${c.lastAnswer} /></p>` : !c.items?.length ? html`<p>${t('noDrift')}</p>` : html`<ul class="changes">${c.items.map((d) => html`<li><b>${d.object.kind} ${d.object.name}</b> <code>${d.path}</code> ${d.kind} <${Leaf} change=${{old: d.released, new: d.live}} /> <span class="dim">${d.author} <${Age} at=${d.since} /></span></li>`)}</ul>`}</section>`)}<//>`;
}

function ActionForm({kind, app, path, close, plan, command}) {
  const components = [...new Set((app.status?.clusters || []).flatMap((c) => (c.components || []).map((p) => p.id)))];
  const post = (to, body) => plan({title: `${known('kind', kind)}: ${app.application}`, ask: {method: 'POST', path: path + to, body}});
  const submit = (e) => {
    e.preventDefault();
    const f = Object.fromEntries(new FormData(e.target));
    if (kind === 'scale') command('scale', {components: [f.component], replicas: Number(f.replicas)});
    if (kind === 'image') command('image', {images: {[f.component]: f.image}});
    if (kind === 'rollback') post('/rollbacks', f.revision ? {revision: Number(f.revision)} : {});
    if (kind === 'copy') post('/copies', {name: f.name || undefined, target: {clusters: f.clusters.split(/[\s,]+/).filter(Boolean), namespace: f.namespace, team: app.team}, data: !!f.data});
    if (kind === 'remove') plan({title: `${known('kind', kind)}: ${app.application}`, danger: true, ask: {method: 'DELETE', path, query: {...(f.data ? {data: 'true'} : {}), ...(f.recycle ? {recycle: 'true'} : {})}}});
  };
  const which = html`<${Field} label=${t('component')}><select name="component" data-test="form-component">${components.map((c) => html`<option>${c}</option>`)}</select><//>`;
  return html`<${Dialog} title=${known('kind', kind)} close=${close} test="action-dialog"><form onSubmit=${submit}>
    ${kind === 'scale' && html`${which}<${Field} label=${t('replicas')}><input name="replicas" type="number" min="0" max="1000" required data-test="form-replicas" /><//>`}
    ${kind === 'image' && html`${which}<${Field} label=${t('image')}><input name="image" required data-test="form-image" /><//>`}
    ${kind === 'rollback' && html`<${Field} label=${t('release')} hint=${t('emptyIsBefore')}><input name="revision" type="number" min="1" data-test="form-revision" /><//>`}
    ${kind === 'copy' && html`<${Field} label=${t('name')}><input name="name" defaultValue=${app.application} data-test="form-name" /><//><${Field} label=${t('namespace')}><input name="namespace" required data-test="form-namespace" /><//><${Field} label=${t('clusters')}><input name="clusters" required defaultValue=${app.clusters.filter((c) => !c.recycled).map((c) => c.cluster).join(', ')} data-test="form-clusters" /><//><label class="check"><input type="checkbox" name="data" data-test="form-data" /> ${t('withData')}</label>`}
    ${kind === 'remove' && html`<label class="check"><input type="checkbox" name="recycle" checked data-test="form-recycle" /> ${t('mayComeBack')}</label><label class="check"><input type="checkbox" name="data" data-test="form-data" /> ${t('dataToo')}</label>`}
    <footer><button type="button" onClick=${close} data-test="form-cancel">${t('cancel')}</button><button class="primary" data-test="form-plan">${t('showPlan')}</button></footer></form><//>`;
}
