// Many clients at once, and clients that vanish in the middle of everything: nothing may be left of them.
import assert from 'node:assert/strict';
import net from 'node:net';
import { test } from 'node:test';

import { baseUrl, becomesIdle, health, isFake, kFakeAnswer, kLongQuestion, kQuestion, metric, model, sleep } from './server.mjs';

const kClients = 64;
const kVanishing = 200;
const kWave = 50; // so many vanish together

function post(fields) {
  return fetch(`${baseUrl}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ model, messages: [{ role: 'user', content: kQuestion }], ...fields }),
  });
}

/** The text of a whole answer; an error when anything of it is missing. */
async function wholeAnswer(fields) {
  const response = await post(fields);
  assert.equal(response.status, 200);
  const answer = await response.json();
  assert.match(answer.choices[0].finish_reason, /^(stop|length)$/);
  assert.ok(answer.usage.completion_tokens > 0);
  return answer.choices[0].message.content;
}

async function streamedAnswer(fields) {
  const response = await post({ ...fields, stream: true, stream_options: { include_usage: true } });
  assert.equal(response.status, 200);
  const events = (await response.text()).split('\n\n').filter((event) => event.startsWith('data: ')).map((event) => event.slice(6));
  assert.equal(events.pop(), '[DONE]');
  const chunks = events.map((event) => JSON.parse(event));
  assert.ok(chunks.pop().usage.completion_tokens > 0);
  assert.match(chunks.at(-1).choices[0].finish_reason, /^(stop|length)$/);
  return chunks.map((chunk) => chunk.choices[0].delta.content ?? '').join('');
}

/** What `work` gives, and the most sequences that the server ran meanwhile. */
async function peakDuring(work) {
  let [peak, done] = [0, false];
  const watch = (async () => {
    for (; !done; await sleep(20)) peak = Math.max(peak, (await health()).active_sequences);
  })();
  try {
    return [await work(), peak];
  } finally {
    done = true;
    await watch;
  }
}

test(`${kClients} clients at once all get whole answers, and the same as one alone`, async (t) => {
  const fields = { temperature: 0 };
  const secondsSince = (begun) => (performance.now() - begun) / 1000;
  const begunAlone = performance.now();
  const alone = await wholeAnswer(fields);
  const secondsAlone = secondsSince(begunAlone);
  const begun = performance.now();
  const [answers, peak] = await peakDuring(() =>
    Promise.all(Array.from({ length: kClients }, (_, i) => (i % 2 ? streamedAnswer : wholeAnswer)(fields))),
  );
  const seconds = secondsSince(begun);
  assert.equal(answers.length, kClients);
  for (const answer of answers) assert.equal(answer, alone);
  if (isFake) {
    assert.match(alone, kFakeAnswer);
    assert.ok(seconds < (kClients * secondsAlone) / 4, `not one after the other: ${seconds} s, one alone ${secondsAlone} s`);
  }
  t.diagnostic(`${seconds.toFixed(1)} s, one alone ${secondsAlone.toFixed(1)} s; at most ${peak} sequences were seen at the same time`);
  await becomesIdle();
});

// The request of a client that will not wait for its answer.
function requestBytes(stream) {
  const body = JSON.stringify({ messages: [{ role: 'user', content: kLongQuestion }], stream });
  const head = `POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`;
  return { head, body };
}

/** Connects, gives the socket to `act`, and resets or closes it when that is done. */
async function vanish(act, how) {
  const { hostname, port } = new URL(baseUrl);
  const socket = net.connect({ host: hostname, port: Number(port), allowHalfOpen: true });
  socket.on('error', () => {}); // the server may be the first to notice
  await new Promise((resolve) => socket.once('connect', resolve));
  const heard = (bytes) => new Promise((resolve) => {
    let text = '';
    socket.on('data', (piece) => {
      text += piece.toString('latin1');
      if (text.length >= bytes || text.includes('[DONE]')) resolve();
    });
    socket.once('close', resolve);
  });
  await act(socket, heard);
  if (how === 'reset') socket.resetAndDestroy();
  else socket.destroy();
}

// Each moment at which a client can vanish.
const kPhases = {
  'before a word': async () => {},
  'in the head': async (socket) => socket.write(requestBytes(true).head.slice(0, 40)),
  'before the body': async (socket) => socket.write(requestBytes(true).head),
  'in the body': async (socket) => {
    const { head, body } = requestBytes(true);
    socket.write(head + body.slice(0, body.length / 2));
  },
  'right after asking': async (socket) => {
    const { head, body } = requestBytes(true);
    socket.write(head + body);
  },
  'waiting for a whole answer': async (socket) => {
    const { head, body } = requestBytes(false);
    socket.write(head + body);
    await sleep(100);
  },
  'at the first bytes': async (socket, heard) => {
    const { head, body } = requestBytes(true);
    socket.write(head + body);
    await heard(1);
  },
  'in the reasoning': async (socket, heard) => {
    const { head, body } = requestBytes(true);
    socket.write(head + body);
    await heard(3_000);
  },
  'in the answer': async (socket, heard) => {
    const { head, body } = requestBytes(true);
    socket.write(head + body);
    await heard(12_000);
  },
  'having closed its half': async (socket) => {
    const { head, body } = requestBytes(true);
    socket.end(head + body);
    await sleep(50);
  },
};

test(`${kVanishing} abrupt disconnects leave no sequence, no page and no connection behind`, async (t) => {
  const before = await metric('hadal_answers_total{end="client_gone"}');
  const phases = Object.values(kPhases);
  const [, most] = await peakDuring(async () => {
    for (let first = 0; first < kVanishing; first += kWave) {
      const wave = Array.from({ length: kWave }, (_, i) => {
        const which = first + i; // every phase both ways
        return vanish(phases[which % phases.length], Math.floor(which / phases.length) % 2 ? 'reset' : 'close');
      });
      await Promise.all(wave);
    }
  });
  await becomesIdle();
  const gone = (await metric('hadal_answers_total{end="client_gone"}')) - before;
  t.diagnostic(`${gone} answers were cancelled, at most ${most} sequences were seen at the same time`);
  // Six of ten phases give the engine something. A reset may overtake the request that came right before it, and a real
  // model may have answered before its client vanished.
  assert.ok(gone <= kVanishing * 0.6 && gone >= (isFake ? kVanishing * 0.55 : 1), `${gone} answers were cancelled`);
  assert.equal(await metric('hadal_sequences_active'), 0);
  assert.equal(await metric('hadal_sequences_waiting'), 0);
  assert.equal(await metric('hadal_cache_pages_held'), 0);

  // One: this question's own. fetch keeps those of the test before for some seconds.
  let clients = Infinity;
  for (let i = 0; i < 100 && clients > 1; i++) {
    clients = (await health()).clients;
    if (clients > 1) await sleep(100);
  }
  assert.equal(clients, 1);
});

test('and whoever comes after them is served as before', async () => {
  assert.equal(await streamedAnswer({ temperature: 0 }), await wholeAnswer({ temperature: 0 }));
  await becomesIdle();
});
