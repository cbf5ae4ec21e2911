// Deploying what somebody wrote.
import {useEffect, useRef, useState} from 'preact/hooks';
import {actingFor, get, query, send, useData} from './api.js';
import {t} from './i18n.js';
import {Empty, Faults, Field, Loading, Planned, Trouble, announce, html} from './ui.js';

const example = 'services:\n  web:\n    image: nginx:1.27\n    ports: ["8080:80"]\n';

export function Deploy({search, me}) {
  const from = new URLSearchParams(search).get('from');
  const clusters = useData('/clusters?limit=1000');
  const apps = useData('/applications?limit=1000');
  const [form, set] = useState({format: from ? 'application' : 'compose', text: '', name: '', namespace: '', team: actingFor() || me?.teams?.[0]?.team || '', clusters: [], answers: {}});
  const [checked, check] = useState({});
  const [plan, setPlan] = useState(null);
  const [error, fail] = useState(null);
  const [loading, load] = useState(!!from);
  const [path, at] = useState('');
  const round = useRef(0);
  const change = (more) => set((old) => ({...old, ...more}));
  const names = clusters.value ? clusters.value.items.map((c) => c.name) : [...new Set((apps.value?.items || []).flatMap((a) => a.clusters.map((c) => c.cluster)))].sort();
  const document = () => ({format: form.format, text: form.text, ...(form.name && form.format !== 'application' ? {name: form.name} : {})});

  useEffect(() => {
    if (!from) return;
    const [namespace, name] = from.split('/');
    const path = `/applications/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`;
    get(path).then(async (app) => {
      const on = app.clusters.filter((c) => !c.recycled).map((c) => c.cluster);
      const meant = await get(path + '/document' + query({cluster: on}));
      at(path);
      change({format: 'application', text: meant.document.text, name, namespace, team: app.team || '', clusters: on, answers: meant.answers || {}});
    }).catch(fail).finally(() => load(false));
  }, [from]);

  useEffect(() => {
    const mine = ++round.current;
    if (!form.text.trim()) { check({}); return; }
    const timer = setTimeout(async () => {
      try {
        const value = await send('POST', '/validations', document());
        if (mine === round.current) { check({value}); announce(value.valid ? t('valid') : t('nFaults', {n: value.faults.length})); }
      } catch (e) { if (mine === round.current) check({error: e}); }
    }, 350);
    return () => clearTimeout(timer);
  }, [form.text, form.format, form.name]);

  const v = checked.value;
  const answer = (p, value) => change({answers: {...form.answers, [p.name]: value}});
  const answers = () => Object.fromEntries(Object.entries(form.answers).filter(([name, x]) => x !== undefined && v.parameters?.some((p) => p.name === name)));
  const ready = v?.valid && form.clusters.length > 0 && (!from || path);
  const submit = (e) => {
    e.preventDefault();
    if (path) { // what it leaves out of secrets and answers stays
      setPlan({title: t('changeTitle', {name: from}), ask: {method: 'POST', path: path + '/edits', body: {document: document(), clusters: form.clusters, answers: answers()}}});
      return;
    }
    const target = {clusters: form.clusters, namespace: form.namespace || v.name, ...(form.team ? {team: form.team} : {})};
    setPlan({title: t('deployTitle', {name: v.name}), ask: {method: 'POST', path: '/applications', body: {document: document(), target, answers: answers()}}});
  };
  return html`<h1 tabindex="-1">${from ? t('changeTitle', {name: from}) : t('deploy')}</h1><${Trouble} error=${error} />${loading && html`<${Loading} />`}
  <form onSubmit=${submit} class="deploy">
    <fieldset><legend>${t('step.document')}</legend>
      <div class="filters"><${Field} label=${t('format')}><select value=${form.format} onChange=${(e) => change({format: e.target.value})} data-test="deploy-format">${['compose', 'manifests', 'application'].map((f) => html`<option value=${f}>${t('format.' + f)}</option>`)}</select><//>
      ${form.format !== 'application' && html`<${Field} label=${t('name')}><input value=${form.name} onInput=${(e) => change({name: e.target.value.trim()})} data-test="deploy-name" /><//>`}
      <${Field} label=${t('file')}><input type="file" accept=".yaml,.yml,.json,.txt" data-test="deploy-file" onChange=${async (e) => { const f = e.target.files[0]; if (f) change({text: await f.text()}); }} /><//></div>
      <${Field} label=${t('text')}><textarea rows="16" spellcheck="false" value=${form.text} placeholder=${form.format === 'compose' ? example : ''} onInput=${(e) => change({text: e.target.value})} aria-describedby="verdict" data-test="deploy-text"></textarea><//>
      <div id="verdict" data-test="deploy-verdict"><${Trouble} error=${checked.error} />${v && html`<p class=${v.valid ? 'ok' : 'next'}>${v.valid ? t('valid') + (v.components?.length ? ': ' + v.components.join(', ') : '') : t('nFaults', {n: v.faults.length})}</p><${Faults} faults=${v.faults} />
        ${v.report?.some((r) => r.note) && html`<details><summary>${t('report')}</summary><ul>${v.report.filter((r) => r.note).map((r) => html`<li><code>${r.path}</code> ${r.outcome}: ${r.note}</li>`)}</ul></details>`}`}</div>
    </fieldset>
    ${v?.parameters?.length > 0 && html`<fieldset><legend>${t('step.answers')}</legend>${v.parameters.map((p) => html`<${Field} label=${p.title || p.name} hint=${p.description}><${Answer} p=${p} value=${form.answers[p.name]} set=${(x) => answer(p, x)} /><//>`)}</fieldset>`}
    <fieldset><legend>${t('step.target')}</legend><${Trouble} error=${clusters.error} retry=${clusters.again} />
      <div class="picks" role="group" aria-label=${t('clusters')}>${names.map((n) => html`<label class="pick"><input type="checkbox" checked=${form.clusters.includes(n)} data-test=${'target-' + n} onChange=${(e) => change({clusters: e.target.checked ? [...form.clusters, n] : form.clusters.filter((x) => x !== n)})} /> ${n}</label>`)}${clusters.loading && html`<${Loading} />`}${clusters.value && !names.length && html`<${Empty}>${t('noClusters')}<//>`}</div>
      ${!from && html`<div class="filters"><${Field} label=${t('namespace')} hint=${t('emptyIsName')}><input value=${form.namespace} onInput=${(e) => change({namespace: e.target.value.trim()})} data-test="target-namespace" /><//><${Field} label=${t('team')}><input value=${form.team} onInput=${(e) => change({team: e.target.value.trim()})} data-test="target-team" list="teams" /><datalist id="teams">${(me?.teams || []).map((m) => html`<option value=${m.team} />`)}</datalist><//></div>`}
    </fieldset>
    <button class="primary" disabled=${!ready} data-test="deploy-plan">${t('showPlan')}</button> ${!ready && html`<span class="dim">${t('deployNeeds')}</span>`}
  </form>
  ${plan && html`<${Planned} ...${plan} close=${() => setPlan(null)} />`}`;
}

function Answer({p, value, set}) {
  const schema = p.schema && typeof p.schema === 'object' ? p.schema : {};
  const now = value ?? (p.secret ? '' : p.default);
  const test = 'answer-' + p.name;
  if (schema.enum) return html`<select value=${JSON.stringify(now)} onChange=${(e) => set(JSON.parse(e.target.value))} data-test=${test}>${now === undefined && html`<option></option>`}${schema.enum.map((x) => html`<option value=${JSON.stringify(x)}>${String(x)}</option>`)}</select>`;
  if (schema.type === 'boolean') return html`<input type="checkbox" checked=${!!now} onChange=${(e) => set(e.target.checked)} data-test=${test} />`;
  if (schema.type === 'integer' || schema.type === 'number') return html`<input type="number" step=${schema.type === 'integer' ? 1 : 'any'} value=${now} min=${schema.minimum} max=${schema.maximum} onInput=${(e) => set(e.target.value === '' ? undefined : Number(e.target.value))} data-test=${test} />`;
  return html`<input type=${p.secret ? 'password' : 'text'} autocomplete="off" value=${now} onInput=${(e) => set(e.target.value || undefined)} data-test=${test} />`;
}
