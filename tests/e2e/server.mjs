// What the end-to-end tests share: which server is asked, and how it looks from the outside.
//
//   node clients.mjs URL [--keyed URL KEY] [--shots FOLDER]
//
// The fake model's server and a real one are told apart by the model's name; claims about an exact text, or about a
// question that makes the fake model do something special, are made to the fake one only.
import assert from 'node:assert/strict';
import http from 'node:http';

const [url, ...options] = process.argv.slice(2);
assert.ok(url, 'usage: node clients.mjs URL [--keyed URL KEY] [--shots FOLDER]');

/** The values after `name` on the command line; none when it is not there. */
function option(name, count) {
  const at = options.indexOf(name);
  return at < 0 ? [] : options.slice(at + 1, at + 1 + count);
}

export const baseUrl = url.replace(/\/$/, '');
export const [keyedUrl, key] = option('--keyed', 2);
export const [shotsFolder] = option('--shots', 1);

/** The body of a GET, over a connection of its own: fetch would keep some, and they count as clients. */
export function textOf(path) {
  return new Promise((resolve, reject) => {
    const request = http.get(`${baseUrl}${path}`, { agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (piece) => (text += piece));
      response.on('end', () => resolve(text));
    });
    request.on('error', reject);
  });
}

export async function health() {
  return JSON.parse(await textOf('/health'));
}

export const model = (await health()).model;
export const isFake = model === 'fake';

export const kQuestion = 'Mia has 12 shells. She finds 7 more and gives 5 to Ben. How many shells does she have now?';
// The fake model answers this without end; a real one as long as it likes.
export const kLongQuestion = 'Count upwards from 1, one number a line, forever.';
export const kFakeReasoning = /^Mia starts with 12 shells .* which is where she started\.$/s;
export const kFakeAnswer = /^Mia has \*\*14 shells\*\* now\..*`19 - 5 = 14`$/s;

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until no sequence runs or waits and no page is held; what is left after `seconds` is an error. */
export async function becomesIdle(seconds = 20) {
  const until = performance.now() + 1000 * seconds;
  for (;;) {
    const now = await health();
    const left = { active: now.active_sequences, waiting: now.waiting_sequences, pages: now.pages_held };
    if (left.active === 0 && left.waiting === 0 && left.pages === 0) return now;
    if (performance.now() > until) assert.deepEqual(left, { active: 0, waiting: 0, pages: 0 });
    await sleep(20);
  }
}

/** Waits until something runs: before that, there is nothing to abort. */
export async function becomesActive() {
  for (let i = 0; i < 200; i++) {
    if ((await health()).active_sequences > 0) return;
    await sleep(5);
  }
  assert.fail('no sequence became active');
}

/** One figure of /metrics; 0 when it has not been counted yet. */
export async function metric(name) {
  const line = (await textOf('/metrics')).split('\n').find((one) => one.startsWith(`${name} `));
  return line ? Number(line.slice(name.length + 1)) : 0;
}
