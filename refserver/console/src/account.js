// What is somebody's own: tokens, and hooks that act for them.
import {useState} from 'preact/hooks';
import {actingFor, send, useData} from './api.js';
import {known, stamp, t} from './i18n.js';
import {Age, Ask, Data, Empty, Field, html} from './ui.js';

const part = encodeURIComponent;

export function Account({me}) {
  const tokens = useData('/tokens');
  const hooks = useData('/hooks');
  const [ask, setAsk] = useState(null);
  const close = () => { setAsk(null); tokens.again(); hooks.again(); };
  return html`<h1 tabindex="-1">${t('account')} <small class="dim">${me.subject.id}</small></h1>
    <p>${(me.teams || []).map((m) => html`<span class="badge">${m.displayName || m.team}: ${known('role', m.role)}</span> `)}</p>
    <h2>${t('tokens')}</h2><p class="actions"><button onClick=${() => setAsk({kind: 'token'})} data-test="token-add">${t('addToken')}</button></p>
    <${Data} from=${tokens}>${(value) => value.items.length === 0 ? html`<${Empty}>${t('noTokens')}<//>` : html`<ul class="plainlist" data-test="tokens">${value.items.map((x) => html`<li><b>${x.description || x.id}</b> <span class="dim">${x.team || t('anyTeam')} · <${Age} at=${x.created} /> · ${t('expires')} ${stamp(x.expires)}</span> <button onClick=${() => setAsk({kind: 'revoke', x})}>${t('revoke')}</button></li>`)}</ul>`}<//>
    <h2>${t('hooks')}</h2><p>${t('hooksWhy')}</p><p class="actions"><button onClick=${() => setAsk({kind: 'hook'})} data-test="hook-add">${t('addHook')}</button></p>
    <${Data} from=${hooks}>${(value) => value.items.length === 0 ? html`<${Empty}>${t('noHooks')}<//>` : html`<ul class="plainlist">${value.items.map((x) => html`<li><b>${x.description || x.id}</b> <span class="dim">${x.team || t('anyTeam')} · <${Age} at=${x.created} /></span> <button onClick=${() => setAsk({kind: 'unhook', x})}>${t('delete')}</button></li>`)}</ul>`}<//>
    ${ask?.kind === 'token' && html`<${Make} title=${t('addToken')} close=${close} make=${async (f) => (await send('POST', '/tokens', {description: f.description, ...(actingFor() ? {team: actingFor()} : {}), ...(f.days ? {seconds: Number(f.days) * 86400} : {})})).token}><${Field} label=${t('days')}><input name="days" type="number" min="1" max="366" defaultValue="90" /><//><//>`}
    ${ask?.kind === 'hook' && html`<${Make} title=${t('addHook')} close=${close} make=${async (f) => { const made = await send('POST', '/hooks', {description: f.description}); return `${location.origin}${made.path}\n${made.secret}`; }} />`}
    ${ask?.kind === 'revoke' && html`<${Ask} title=${t('revoke')} close=${close} action=${t('revoke')} danger send=${() => send('DELETE', '/tokens/' + part(ask.x.id))}><p>${ask.x.description || ask.x.id}</p><//>`}
    ${ask?.kind === 'unhook' && html`<${Ask} title=${t('delete')} close=${close} action=${t('delete')} danger send=${() => send('DELETE', '/hooks/' + part(ask.x.id))}><p>${ask.x.description || ask.x.id}</p><//>`}`;
}

// Make makes something whose secret is shown once.
function Make({title, close, make, children}) {
  const [made, set] = useState('');
  return html`<${Ask} title=${title} close=${close} action=${made ? '' : t('add')} stay test="make-form" send=${async (f) => set(await make(f))}>
    ${made ? html`<p>${t('shownOnce')}</p><textarea readonly rows="4" aria-label=${title} data-test="made">${made}</textarea>` : html`<${Field} label=${t('description')}><input name="description" required maxlength="200" data-test="make-description" /><//>${children}`}<//>`;
}
