// What views are made of.
import {h} from 'preact';
import {useEffect, useLayoutEffect, useRef, useState} from 'preact/hooks';
import htm from 'htm';
import {base, send} from './api.js';
import {ago, known, stamp, t} from './i18n.js';

export const html = htm.bind(h);

// dnsLabel is what names of clusters, teams and environments are made of.
export const dnsLabel = '[a-z0-9]([a-z0-9\\-]*[a-z0-9])?';

// go shows another view.
export function go(path, replace) {
  history[replace ? 'replaceState' : 'pushState']({}, '', base + keepEmbed(path));
  window.dispatchEvent(new Event('appspan-view'));
}
export const embedded = () => new URLSearchParams(location.search).get('embed') === '1';
const keepEmbed = (path) => embedded() && !/[?&]embed=1/.test(path) ? path + (path.includes('?') ? '&' : '?') + 'embed=1' : path;

export function Link({to, children, ...rest}) {
  return html`<a href=${base + keepEmbed(to)} ...${rest} onClick=${(e) => {
    if (e.metaKey || e.ctrlKey || e.shiftKey || e.button) return;
    e.preventDefault();
    go(to);
  }}>${children}</a>`;
}

// announce says something to who listens to the page.
export function announce(text) { window.dispatchEvent(new CustomEvent('appspan-say', {detail: text})); }

const marks = {Ready: '●', ready: '●', Stopped: '■', Progressing: '◐', connecting: '◐', Degraded: '▲', degraded: '▲', Unknown: '?', unreachable: '?', Absent: '○', Failed: '✕', maintenance: '■'};
export function Badge({value, kind = 'value'}) {
  if (!value) return null;
  return html`<span class=${'badge ' + String(value).toLowerCase()}><span aria-hidden="true">${marks[value] || '•'}</span> ${known(kind, value)}</span>`;
}
export function Age({at}) { return html`<time datetime=${at} title=${stamp(at)}>${ago(at)}</time>`; }

export function Trouble({error, retry}) {
  if (!error) return null;
  return html`<div class="trouble" role="alert" data-test="problem">
    <strong>${error.offline ? t('offline') : error.strange ? t('strange') : error.title || t('failed')}</strong>
    ${!error.offline && error.detail && html`<p>${error.detail}</p>`}
    <${Faults} faults=${error.faults} />
    ${error.quota && html`<p>${t('quotaUsed', error.quota)}</p>`}
    <p class="next">${next(error)}</p>
    ${error.instance && html`<p class="dim">${t('request')} <code>${error.instance}</code></p>`}
    ${retry && html`<button onClick=${retry} data-test="retry">${t('again')}</button>`}
  </div>`;
}
function next(error) {
  if (error.offline) return t('next.offline');
  return ({401: t('next.401'), 403: t('next.403'), 404: t('next.404'), 405: t('next.405'), 409: t('next.409'), 412: t('next.412'), 429: t('next.429'), 503: t('next.503')})[error.status] || (error.status >= 500 ? t('next.500') : t('next.400'));
}
export function Faults({faults}) {
  if (!faults?.length) return null;
  return html`<ul class="faults">${faults.map((f) => html`<li class=${f.severity}>
    <strong>${f.line ? t('line', f) + ': ' : ''}${f.path}</strong> ${f.problem}${f.next && html` <span class="next">→ ${f.next}</span>`}</li>`)}</ul>`;
}

export function Loading() { return html`<p class="dim" role="status" data-test="loading">${t('loading')}</p>`; }
export function Empty({children}) { return html`<div class="empty" data-test="empty">${children}</div>`; }

// Data shows what was read, or why it was not.
export function Data({from, children}) {
  return html`${from.error && html`<${Trouble} error=${from.error} retry=${from.again} />`}${from.value !== undefined ? children(from.value) : !from.error && html`<${Loading} />`}`;
}

export function Field({label, hint, children}) {
  return html`<label class="field"><span>${label}</span>${children}${hint && html`<small class="dim">${hint}</small>`}</label>`;
}

// Dialog is a modal one: the browser keeps the focus in it and gives it back.
export function Dialog({title, close, children, test}) {
  const box = useRef();
  useLayoutEffect(() => {
    const before = document.activeElement, dialog = box.current;
    dialog.showModal();
    return () => { if (dialog.open) dialog.close(); before?.focus?.(); };
  }, []);
  return html`<dialog ref=${box} aria-labelledby="dialog-title" data-test=${test} onCancel=${(e) => { e.preventDefault(); close(); }}>
    <header><h2 id="dialog-title">${title}</h2><button class="plain" onClick=${close} aria-label=${t('close')} data-test="dialog-close">✕</button></header>
    ${children}</dialog>`;
}

// Ask is a form in a dialog: what is sent is awaited, and shown where it fails.
// With stay the dialog stays open afterwards.
export function Ask({title, close, send: act, action, danger, stay, test, children}) {
  const [state, set] = useState({});
  const submit = async (e) => {
    e.preventDefault();
    const values = Object.fromEntries(new FormData(e.target));
    set({busy: true});
    try { await act(values); set({}); if (!stay) { announce(t('done')); close(); } } catch (error) { set({error}); }
  };
  return html`<${Dialog} title=${title} close=${close} test=${test}><form onSubmit=${submit}><div class="scroll" tabindex="0"><${Trouble} error=${state.error} />${children}</div>
    <footer><button type="button" onClick=${close} data-test="form-cancel">${action ? t('cancel') : t('close')}</button>${action && html`<button class=${danger ? 'danger' : 'primary'} disabled=${state.busy} data-test="form-submit">${action}</button>`}</footer></form><//>`;
}

// Pages turn the pages of a list: cursors are those of the pages before.
export function Pages({cursors, turn, next}) {
  if (!cursors.length && !next) return null;
  return html`<nav class="pages" aria-label=${t('pages')}><button disabled=${!cursors.length} onClick=${() => turn(cursors.slice(0, -1))} data-test="page-before">${t('before')}</button><button disabled=${!next} onClick=${() => turn([...cursors, next])} data-test="page-next">${t('nextPage')}</button></nav>`;
}

// amount is a quantity as people write it: 2550m is 2.55, 3840Mi is 3.75Gi.
export function amount(q) {
  const m = /^(\d+)(m|Ki|Mi)$/.exec(q ?? '');
  if (!m) return q;
  const units = ['Ki', 'Mi', 'Gi', 'Ti'];
  let n = Number(m[1]), unit = m[2];
  if (unit === 'm') return String(n / 1000);
  while (n >= 1024 && unit !== 'Ti') { n /= 1024; unit = units[units.indexOf(unit) + 1]; }
  return Number(n.toFixed(2)) + unit;
}

const text = (v) => v === undefined ? '∅' : typeof v === 'string' ? v : JSON.stringify(v);
export function Leaf({change}) {
  if (change.secret) return html`<em>${t('secret')}</em>`;
  return html`<del>${text(change.old)}</del> → <ins>${text(change.new)}</ins>`;
}

// Plan is what a change would do.
export function Plan({plan}) {
  return html`<div data-test="plan">${(plan.clusters || []).map((c) => html`<section class="card">
    <h3>${c.cluster} <span class=${'badge ' + c.state}>${known('plan', c.state)}</span>
      <small class="dim"> ${c.from ? t('revisionFrom', c) : c.revision ? t('revision', c) : ''} · ${t('unchanged', {n: c.unchanged})}</small></h3>
    ${c.error && html`<p class="next">${c.error}${c.lastAnswer && html` (${t('lastAnswer')} <${Age} at=${c.lastAnswer} />)`}</p>`}
    ${c.refusals?.map((r) => html`<p class="trouble">${r.object?.kind} ${r.object?.name} ${r.path}: ${r.reason} <span class="next">→ ${r.next}</span></p>`)}
    ${c.notes?.map((n) => html`<p class="dim">${n.path || n.component} ${n.message}</p>`)}
    <ul class="changes">${(c.changes || []).map((x) => html`<li><span class=${'action ' + x.action}>${known('action', x.action)}</span> ${x.object.kind} <b>${x.object.name}</b> ${x.reason && html`<span class="dim">${x.reason}</span>`}
      ${x.fields?.length && html`<ul>${x.fields.map((f) => html`<li><code>${f.path}</code> <${Leaf} change=${f} />${f.drift && html` <em>${t('drifted')}${f.manager ? ` (${f.manager})` : ''}</em>`}</li>`)}</ul>`}</li>`)}</ul>
  </section>`)}</div>`;
}

// Conflicts are decided side by side.
export function Conflicts({conflicts, decisions, decide}) {
  return html`<fieldset class="conflicts" data-test="conflicts"><legend>${t('conflicts', {n: conflicts.length})}</legend>
    ${conflicts.map((c) => html`<div class="conflict" role="radiogroup" aria-label=${c.path}><code>${c.path}</code> <span class="dim">${c.reason}</span>
      <div class="sides">${['ours', 'theirs'].map((side) => html`<label class="side"><input type="radio" name=${'decide-' + c.path} data-test=${`decide-${side}`} checked=${decisions[c.path] === side} onChange=${() => decide({...decisions, [c.path]: side})} />
        <b>${t(side)}</b><pre>${c.secret ? t('secret') : text(c[side])}</pre></label>`)}</div></div>`)}</fieldset>`;
}

// Planned shows the plan of a change before it is made. ask is what is sent:
// {method, path, body, query}; seen is where the plan's hash goes.
export function Planned({title, ask, close, danger}) {
  const [state, set] = useState({});
  const [decisions, decide] = useState({});
  const sent = (dry, hash) => {
    const q = new URLSearchParams(ask.query || {});
    if (dry) q.set('dryRun', 'true');
    if (hash && ask.method === 'DELETE') q.set('planHash', hash);
    const body = ask.method === 'DELETE' ? undefined : {...ask.body, ...(Object.keys(decisions).length ? {decisions} : {}), ...(hash ? {planHash: hash} : {})};
    return send(ask.method, ask.path + (String(q) ? '?' + q : ''), body);
  };
  const look = async () => {
    set({});
    try { set({planned: await sent(true)}); announce(t('planReady')); } catch (error) { set({error}); }
  };
  useEffect(() => { look(); }, []);
  const apply = async () => {
    set({...state, busy: true, error: undefined});
    try {
      const done = await sent(false, state.planned.plan?.hash);
      close();
      if (done?.operation) go('/operations/' + done.operation.id); else announce(t('done'));
    } catch (error) { set({planned: state.planned, error}); }
  };
  const conflicts = state.planned?.promotion?.conflicts || state.error?.promotion?.conflicts || [];
  const plan = state.planned?.plan;
  const nothing = state.planned?.unchanged;
  const may = plan && !nothing && plan.clusters?.some((c) => c.state === 'planned');
  return html`<${Dialog} title=${title} close=${close} test="plan-dialog">
    <div class="scroll" tabindex="0">
    ${!state.planned && !state.error && html`<${Loading} />`}
    <${Trouble} error=${state.error} />
    ${conflicts.length > 0 && html`<${Conflicts} conflicts=${conflicts} decisions=${decisions} decide=${decide} /><button onClick=${look} data-test="plan-again">${t('planAgain')}</button>`}
    ${nothing && html`<${Empty}>${t('nothingToDo')}<//>`}
    ${plan && html`<${Plan} plan=${plan} />`}</div>
    <footer><button onClick=${close} data-test="plan-cancel">${t('cancel')}</button>
      ${state.error && !conflicts.length && html`<button onClick=${look} data-test="plan-again">${t('planAgain')}</button>`}
      <button class=${danger ? 'danger' : 'primary'} disabled=${!may || state.busy} onClick=${apply} data-test="plan-apply">${state.busy ? t('applying') : t('apply')}</button></footer>
  <//>`;
}
