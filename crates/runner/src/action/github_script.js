// What a script of `actions/github-script` is given, without its packages: core, context, exec, io, glob, and `github`
// against the address in GITHUB_API_URL.
'use strict';
const fs = require('fs');
const os = require('os');
const path = require('path');
const childProcess = require('child_process');
const crypto = require('crypto');
const { createRequire } = require('module');

const env = process.env;
const text = (value) => (value === undefined || value === null ? '' : typeof value === 'string' ? value : JSON.stringify(value));
const say = (line) => process.stdout.write(line + os.EOL);
const escape = (value) => text(value).replace(/%/g, '%25').replace(/\r/g, '%0D').replace(/\n/g, '%0A');
const escapeProperty = (value) => escape(value).replace(/:/g, '%3A').replace(/,/g, '%2C');

function command(name, properties, message) {
  const pairs = Object.entries(properties || {}).filter(([, value]) => value !== undefined && value !== '');
  const list = pairs.map(([key, value]) => `${key}=${escapeProperty(value)}`).join(',');
  say(`::${name}${list ? ' ' + list : ''}::${escape(message)}`);
}

function append(variable, name, value) {
  const delimiter = `ghadelimiter_${crypto.randomUUID()}`;
  fs.appendFileSync(env[variable], `${name}<<${delimiter}${os.EOL}${text(value)}${os.EOL}${delimiter}${os.EOL}`);
}

function annotation(level) {
  return (message, at = {}) =>
    command(level, { title: at.title, file: at.file, line: at.startLine, endLine: at.endLine, col: at.startColumn, endColumn: at.endColumn },
      message instanceof Error ? message.toString() : message);
}

class Summary {
  constructor() { this.buffer = ''; }
  addRaw(value, newLine = false) { this.buffer += value; return newLine ? this.addEOL() : this; }
  addEOL() { this.buffer += os.EOL; return this; }
  wrap(tag, content, attributes = {}) {
    const list = Object.entries(attributes).map(([key, value]) => ` ${key}="${value}"`).join('');
    return content ? `<${tag}${list}>${content}</${tag}>` : `<${tag}${list}>`;
  }
  addHeading(value, level = 1) { return this.addRaw(this.wrap(`h${[1, 2, 3, 4, 5, 6].includes(Number(level)) ? level : 1}`, value)).addEOL(); }
  addCodeBlock(code, lang) { return this.addRaw(this.wrap('pre', this.wrap('code', code), lang ? { lang } : {})).addEOL(); }
  addList(items, ordered = false) { return this.addRaw(this.wrap(ordered ? 'ol' : 'ul', items.map((item) => this.wrap('li', item)).join(''))).addEOL(); }
  addTable(rows) {
    const cell = (one) => (typeof one === 'string' ? this.wrap('td', one)
      : this.wrap(one.header ? 'th' : 'td', one.data, { ...(one.colspan && { colspan: one.colspan }), ...(one.rowspan && { rowspan: one.rowspan }) }));
    return this.addRaw(this.wrap('table', rows.map((row) => this.wrap('tr', row.map(cell).join(''))).join(''))).addEOL();
  }
  addDetails(label, content) { return this.addRaw(this.wrap('details', this.wrap('summary', label) + content)).addEOL(); }
  addImage(src, alt, size = {}) { return this.addRaw(this.wrap('img', null, { src, alt, ...size })).addEOL(); }
  addSeparator() { return this.addRaw('<hr>').addEOL(); }
  addBreak() { return this.addRaw('<br>').addEOL(); }
  addQuote(value, cite) { return this.addRaw(this.wrap('blockquote', value, cite ? { cite } : {})).addEOL(); }
  addLink(value, href) { return this.addRaw(this.wrap('a', value, { href })).addEOL(); }
  stringify() { return this.buffer; }
  isEmptyBuffer() { return this.buffer.length === 0; }
  emptyBuffer() { this.buffer = ''; return this; }
  async write({ overwrite = false } = {}) {
    (overwrite ? fs.writeFileSync : fs.appendFileSync)(env.GITHUB_STEP_SUMMARY, this.buffer);
    return this.emptyBuffer();
  }
  clear() { return this.emptyBuffer().write({ overwrite: true }); }
}

const input = (name) => env[`INPUT_${name.replace(/ /g, '_').toUpperCase()}`] || '';
const core = {
  getInput(name, options = {}) {
    const value = input(name);
    if (options.required && !value) throw new Error(`Input required and not supplied: ${name}`);
    return options.trimWhitespace === false ? value : value.trim();
  },
  getMultilineInput: (name, options) => core.getInput(name, options).split('\n').filter((line) => line !== ''),
  getBooleanInput(name, options) {
    const value = core.getInput(name, options);
    if (['true', 'True', 'TRUE'].includes(value)) return true;
    if (['false', 'False', 'FALSE'].includes(value)) return false;
    throw new TypeError(`Input does not meet YAML 1.2 "Core Schema" specification: ${name}`);
  },
  setOutput: (name, value) => append('GITHUB_OUTPUT', name, value),
  exportVariable(name, value) { env[name] = text(value); append('GITHUB_ENV', name, value); },
  saveState: (name, value) => append('GITHUB_STATE', name, value),
  getState: (name) => env[`STATE_${name}`] || '',
  setSecret: (value) => command('add-mask', {}, value),
  addPath(folder) { fs.appendFileSync(env.GITHUB_PATH, folder + os.EOL); env.PATH = folder + path.delimiter + env.PATH; },
  setCommandEcho: (on) => command('echo', {}, on ? 'on' : 'off'),
  setFailed(message) { process.exitCode = 1; core.error(message); },
  isDebug: () => env.RUNNER_DEBUG === '1',
  debug: (message) => command('debug', {}, message),
  error: annotation('error'), warning: annotation('warning'), notice: annotation('notice'),
  info: say,
  startGroup: (name) => command('group', {}, name),
  endGroup: () => command('endgroup', {}, ''),
  async group(name, work) { core.startGroup(name); try { return await work(); } finally { core.endGroup(); } },
  toPosixPath: (value) => value.replace(/\\/g, '/'),
  toPlatformPath: (value) => value.replace(/[/\\]/g, path.sep),
  summary: new Summary(),
};
core.markdownSummary = core.summary;

const payload = env.GITHUB_EVENT_PATH && fs.existsSync(env.GITHUB_EVENT_PATH) ? JSON.parse(fs.readFileSync(env.GITHUB_EVENT_PATH, 'utf8')) : {};
const context = {
  payload, eventName: env.GITHUB_EVENT_NAME, sha: env.GITHUB_SHA, ref: env.GITHUB_REF, workflow: env.GITHUB_WORKFLOW,
  action: env.GITHUB_ACTION, actor: env.GITHUB_ACTOR, job: env.GITHUB_JOB, runId: parseInt(env.GITHUB_RUN_ID, 10),
  runNumber: parseInt(env.GITHUB_RUN_NUMBER, 10), runAttempt: parseInt(env.GITHUB_RUN_ATTEMPT, 10),
  apiUrl: env.GITHUB_API_URL, serverUrl: env.GITHUB_SERVER_URL, graphqlUrl: env.GITHUB_GRAPHQL_URL,
  get repo() { const [owner, repo] = (env.GITHUB_REPOSITORY || '/').split('/'); return { owner, repo }; },
  get issue() { return { ...this.repo, number: (payload.issue || payload.pull_request || payload).number }; },
};

function words(line) {
  const found = line.match(/(?:[^\s"]+|"(?:\\.|[^"\\])*")+/g) || [];
  return found.map((word) => word.replace(/"((?:\\.|[^"\\])*)"/g, (_, inner) => inner.replace(/\\(["\\])/g, '$1')));
}
const exec = {
  exec(line, args = [], options = {}) {
    const [program, ...first] = words(line);
    return new Promise((resolve, reject) => {
      if (!options.silent) say(`[command]${[program, ...first, ...(args || [])].join(' ')}`);
      const child = childProcess.spawn(program, [...first, ...(args || [])], { cwd: options.cwd, env: options.env || env, stdio: [options.input ? 'pipe' : 'ignore', 'pipe', 'pipe'] });
      const pour = (from, to, name) => from.on('data', (data) => {
        if (!options.silent) to.write(data);
        options.listeners && options.listeners[name] && options.listeners[name](data);
      });
      pour(child.stdout, process.stdout, 'stdout');
      pour(child.stderr, process.stderr, 'stderr');
      if (options.input) child.stdin.end(options.input);
      child.on('error', (error) => reject(new Error(`Unable to locate executable file: ${program}. ${error.message}`)));
      child.on('close', (code) => (code !== 0 && !options.ignoreReturnCode
        ? reject(new Error(`The process '${program}' failed with exit code ${code}`)) : resolve(code)));
    });
  },
  async getExecOutput(line, args, options = {}) {
    const heard = { stdout: '', stderr: '' };
    const listen = (name) => (data) => { heard[name] += data; options.listeners && options.listeners[name] && options.listeners[name](data); };
    const exitCode = await exec.exec(line, args, { ...options, listeners: { stdout: listen('stdout'), stderr: listen('stderr') } });
    return { exitCode, ...heard };
  },
};

const io = {
  mkdirP: async (folder) => void fs.mkdirSync(folder, { recursive: true }),
  rmRF: async (target) => fs.rmSync(target, { recursive: true, force: true }),
  cp: async (from, to, options = {}) => {
    const into = fs.existsSync(to) && fs.statSync(to).isDirectory() ? path.join(to, path.basename(from)) : to;
    fs.cpSync(from, into, { recursive: !!options.recursive, force: options.force !== false });
  },
  mv: async (from, to) => fs.renameSync(from, fs.existsSync(to) && fs.statSync(to).isDirectory() ? path.join(to, path.basename(from)) : to),
  async which(tool, check) {
    const found = (env.PATH || '').split(path.delimiter).map((folder) => path.join(folder, tool)).find((file) => {
      try { fs.accessSync(file, fs.constants.X_OK); return fs.statSync(file).isFile(); } catch { return false; }
    });
    if (!found && check) throw new Error(`Unable to locate executable file: ${tool}`);
    return found || '';
  },
};

function pattern(glob) {
  const source = path.resolve(glob).split(path.sep).map((part) => (part === '**' ? '**'
    : part.replace(/[.+^${}()|\\]/g, '\\$&').replace(/\*/g, '[^/]*').replace(/\?/g, '[^/]'))).join('/');
  return new RegExp('^' + source.replace(/\*\*\//g, '(?:.*/)?').replace(/\/\*\*$/, '(?:/.*)?') + '(?:/.*)?$');
}
const glob = {
  async create(patterns) {
    const lines = patterns.split('\n').map((line) => line.trim()).filter((line) => line && !line.startsWith('#'));
    const rules = lines.map((line) => ({ not: line.startsWith('!'), line: line.replace(/^!/, '') }));
    const root = (line) => { const parts = path.resolve(line).split(path.sep); const at = parts.findIndex((part) => /[*?[]/.test(part)); return at < 0 ? parts.join('/') : parts.slice(0, at).join('/') || '/'; };
    return {
      getSearchPaths: () => rules.filter((rule) => !rule.not).map((rule) => root(rule.line)),
      async glob() {
        const found = new Set();
        const fits = (file) => rules.reduce((yes, rule) => (pattern(rule.line).test(file) ? !rule.not : yes), false);
        const walk = (file) => {
          if (!fs.existsSync(file)) return;
          if (fits(file)) found.add(file);
          if (fs.statSync(file).isDirectory()) fs.readdirSync(file).sort().forEach((name) => walk(path.join(file, name)));
        };
        this.getSearchPaths().forEach(walk);
        return [...found];
      },
    };
  },
};

class RequestError extends Error {
  constructor(message, status, response) { super(message); this.name = 'HttpError'; this.status = status; this.response = response; }
}
function getOctokit(token, options = {}) {
  const base = (options.baseUrl || input('base-url') || env.GITHUB_API_URL || '').replace(/\/$/, '');
  async function request(route, parameters = {}) {
    const [method, template] = route.includes(' ') ? route.split(' ') : ['GET', route];
    const rest = { ...parameters };
    delete rest.headers; delete rest.mediaType;
    const where = template.replace(/\{(\+?)(\w+)\}/g, (_, plus, name) => {
      const value = rest[name]; delete rest[name];
      return plus ? String(value) : encodeURIComponent(value);
    });
    const url = new URL(/^https?:/.test(where) ? where : base + where);
    const body = ['GET', 'HEAD', 'DELETE'].includes(method) && !('data' in rest) ? undefined : JSON.stringify('data' in rest ? rest.data : rest);
    if (body === undefined) Object.entries(rest).forEach(([key, value]) => value !== undefined && url.searchParams.set(key, value));
    const answer = await fetch(url, { method, body, headers: {
      accept: 'application/vnd.github+json', authorization: `token ${token}`, 'user-agent': input('user-agent') || 'actions/github-script',
      ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...parameters.headers } });
    const kind = answer.headers.get('content-type') || '';
    const data = kind.includes('json') ? await answer.json().catch(() => undefined) : await answer.text();
    const response = { status: answer.status, url: String(url), headers: Object.fromEntries(answer.headers), data };
    if (!answer.ok) throw new RequestError((data && data.message) || `${method} ${url.pathname} answered ${answer.status}`, answer.status, response);
    return response;
  }
  const issue = '/repos/{owner}/{repo}/issues/{issue_number}';
  const pull = '/repos/{owner}/{repo}/pulls/{pull_number}';
  const routes = {
    'issues.create': 'POST /repos/{owner}/{repo}/issues', 'issues.get': `GET ${issue}`, 'issues.update': `PATCH ${issue}`,
    'issues.listForRepo': 'GET /repos/{owner}/{repo}/issues', 'issues.createComment': `POST ${issue}/comments`, 'issues.listComments': `GET ${issue}/comments`,
    'issues.updateComment': 'PATCH /repos/{owner}/{repo}/issues/comments/{comment_id}', 'issues.deleteComment': 'DELETE /repos/{owner}/{repo}/issues/comments/{comment_id}',
    'issues.addLabels': `POST ${issue}/labels`, 'issues.removeLabel': `DELETE ${issue}/labels/{name}`, 'issues.listLabelsOnIssue': `GET ${issue}/labels`,
    'pulls.get': `GET ${pull}`, 'pulls.list': 'GET /repos/{owner}/{repo}/pulls', 'pulls.listFiles': `GET ${pull}/files`, 'pulls.create': 'POST /repos/{owner}/{repo}/pulls',
    'pulls.createReview': `POST ${pull}/reviews`, 'repos.get': 'GET /repos/{owner}/{repo}', 'repos.getContent': 'GET /repos/{owner}/{repo}/contents/{+path}',
    'repos.getCommit': 'GET /repos/{owner}/{repo}/commits/{ref}', 'repos.createCommitStatus': 'POST /repos/{owner}/{repo}/statuses/{sha}',
    'repos.createDispatchEvent': 'POST /repos/{owner}/{repo}/dispatches', 'repos.getReleaseByTag': 'GET /repos/{owner}/{repo}/releases/tags/{tag}',
    'repos.createRelease': 'POST /repos/{owner}/{repo}/releases', 'actions.createWorkflowDispatch': 'POST /repos/{owner}/{repo}/actions/workflows/{workflow_id}/dispatches',
    'actions.listWorkflowRunArtifacts': 'GET /repos/{owner}/{repo}/actions/runs/{run_id}/artifacts', 'checks.create': 'POST /repos/{owner}/{repo}/check-runs',
    'git.createRef': 'POST /repos/{owner}/{repo}/git/refs', 'git.getRef': 'GET /repos/{owner}/{repo}/git/ref/{+ref}',
  };
  const rest = new Proxy({}, { get: (_, scope) => new Proxy({}, { get: (_, name) => {
    const route = routes[`${String(scope)}.${String(name)}`];
    const call = (parameters) => {
      if (!route) throw new Error(`github.rest.${String(scope)}.${String(name)} is not part of what is built in: use github.request('METHOD /path', {…}), or provide the action itself in the mirror folder`);
      return request(route, parameters);
    };
    call.route = route;
    return call;
  } }) });
  async function paginate(what, parameters = {}, map = (response) => response.data) {
    const route = typeof what === 'function' ? what.route : what;
    const all = [];
    for (let page = 1; page < 1000; page += 1) {
      const response = await request(route, { per_page: 100, ...parameters, page });
      const items = map(response);
      const list = Array.isArray(items) ? items : Object.values(items).find(Array.isArray) || [];
      all.push(...list);
      if (!/rel="next"/.test(response.headers.link || '')) return all;
    }
    return all;
  }
  const graphql = async (query, variables = {}) => {
    const { data } = await request(`POST ${env.GITHUB_GRAPHQL_URL || base + '/graphql'}`, { query, variables });
    if (data.errors) throw new Error(`Request failed due to following response errors:\n - ${data.errors.map((e) => e.message).join('\n - ')}`);
    return data.data;
  };
  return { request, graphql, paginate, rest, ...Object.fromEntries(['issues', 'pulls', 'repos', 'actions', 'checks', 'git'].map((scope) => [scope, rest[scope]])) };
}

const own = createRequire(path.join(process.cwd(), 'script.js'));
const wrapped = new Proxy(own, { apply: (target, _, [id]) => target(id.startsWith('.') ? path.resolve(id) : id) });

async function main() {
  const AsyncFunction = Object.getPrototypeOf(async () => null).constructor;
  const github = getOctokit(input('github-token'));
  const given = { require: wrapped, __original_require__: require, github, octokit: github, getOctokit, context, core, exec, glob, io };
  const result = await new AsyncFunction(...Object.keys(given), input('script'))(...Object.values(given));
  const encoding = input('result-encoding') || 'json';
  if (!['json', 'string'].includes(encoding)) throw new Error('"result-encoding" must be either "string" or "json"');
  core.setOutput('result', encoding === 'json' ? JSON.stringify(result) : String(result));
}
const fail = (error) => { console.error(error); core.setFailed(`Unhandled error: ${error}`); };
process.on('unhandledRejection', fail);
main().catch(fail);
