// The page in a real browser (Debian's Chromium): somebody types a question and watches the answer come.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { chromium } from 'playwright-core';

import { baseUrl, becomesIdle, isFake, key, keyedUrl, kLongQuestion, kQuestion, model, shotsFolder } from './server.mjs';

const kDesktop = { viewport: { width: 1280, height: 800 } };
const kPhone = { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-dev-shm-usage'] });
after(() => browser.close());

/** The page in a fresh window, with what it asked for and complained about. */
async function openPage(options = {}, address = `${baseUrl}/`) {
  const context = await browser.newContext({ ...kDesktop, ...options });
  const page = await context.newPage();
  const foreign = [];
  const complaints = [];
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== new URL(address).origin) foreign.push(request.url());
  });
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => {
    // A status that the page shows itself is also listed by the browser.
    if (message.type() === 'error' && !/Failed to load resource/.test(message.text())) complaints.push(message.text());
  });
  await page.goto(address);
  const one = {
    page,
    input: page.getByLabel('Your question'),
    stop: page.getByLabel('Stop the answer'),
    reasoning: page.locator('.reasoning').last(),
    answer: page.locator('.answer').last(),
    async ask(question) {
      await one.input.fill(question);
      await page.keyboard.press('Enter');
    },
    async answered() {
      await page.locator('article.assistant[aria-busy="false"]').last().waitFor();
      await one.stop.waitFor({ state: 'detached' });
    },
    async shot(name) {
      if (shotsFolder) await page.screenshot({ path: `${shotsFolder}/${name}.png` });
    },
    async close() {
      assert.deepEqual(foreign, [], 'requests to other machines');
      assert.deepEqual(complaints, [], 'complaints of the browser');
      await context.close();
    },
  };
  return one;
}

/** Every length that the text of `selector` has on its way to its end. */
function watchGrowth(page, selector) {
  return page.evaluate((what) => {
    const lengths = (window.lengths ??= {});
    lengths[what] = [];
    new MutationObserver(() => {
      const length = document.querySelector(what)?.textContent.length ?? 0;
      if (length > 0 && lengths[what].at(-1) !== length) lengths[what].push(length);
    }).observe(document.body, { subtree: true, childList: true, characterData: true });
  }, selector);
}

const growthOf = (page, selector) => page.evaluate((what) => window.lengths[what], selector);

test('a typed question gets its reasoning and then its answer, both as they are made', async () => {
  const { page, input, answered, shot, close, ...one } = await openPage();
  await page.getByText(model, { exact: true }).waitFor();
  await shot('1-welcome');
  await watchGrowth(page, '.reasoning');
  await watchGrowth(page, '.answer');
  await input.pressSequentially(kQuestion);
  await page.keyboard.press('Enter');
  assert.equal(await input.inputValue(), '', 'the question has left the field');
  if (isFake) {
    // A small real model has answered before one could look.
    await page.locator('summary', { hasText: /^\s*Thinking/ }).waitFor();
    await one.reasoning.waitFor();
    assert.equal(await one.answer.count(), 0, 'no answer before the reasoning is over');
    await shot('2-thinking');
  }
  await one.answer.waitFor();
  await answered();
  const [reasoned, answeredIn] = [await growthOf(page, '.reasoning'), await growthOf(page, '.answer')];
  assert.ok(reasoned.length >= (isFake ? 3 : 2), `reasoning came in pieces: ${reasoned}`);
  assert.ok(answeredIn.length >= (isFake ? 3 : 1), `the answer came in pieces: ${answeredIn}`);
  if (isFake) {
    assert.match(await one.answer.innerText(), /Mia has 14 shells now\./);
    assert.equal(await one.answer.locator('strong').innerText(), '14 shells');
  }
  await shot('3-answered');
  await close();
});

test('reasoning is folded when the answer is there, and opens with a click or a key', async () => {
  const { page, ask, answered, reasoning, shot, close } = await openPage({ colorScheme: 'dark' });
  await ask(kQuestion);
  await answered();
  assert.equal(await reasoning.isVisible(), false);
  const summary = page.locator('summary', { hasText: 'Thought for' });
  await summary.click();
  assert.equal(await reasoning.isVisible(), true);
  await page.mouse.move(0, 0);
  await shot('4-reasoning-open');
  await summary.focus();
  await page.keyboard.press('Enter');
  assert.equal(await reasoning.isVisible(), false);
  await close();
});

test('tokens per second are shown under the answer', async () => {
  const { page, ask, answered, close } = await openPage();
  await ask(kQuestion);
  await answered();
  const stats = await page.locator('.stats').innerText();
  const [, speed, tokens] = /^([\d.]+) tokens\/s\s*(\d+) tokens\s*[\d.]+ s$/.exec(stats) ?? assert.fail(stats);
  assert.ok(Number(speed) > 0 && Number(tokens) > 5, stats);
  if (isFake) assert.ok(Number(speed) > 5 && Number(speed) < 60, `${speed} at a pace of 50`);
  await close();
});

test('Shift+Enter breaks the line, Enter sends, and blanks are not sent', async () => {
  const { page, input, answered, close } = await openPage();
  await input.fill('   ');
  await page.keyboard.press('Enter');
  assert.equal(await page.locator('article').count(), 0);
  await input.fill('');
  await input.pressSequentially('2 + 3');
  await page.keyboard.press('Shift+Enter');
  await input.pressSequentially('= ?');
  assert.equal(await input.inputValue(), '2 + 3\n= ?');
  await page.keyboard.press('Enter');
  assert.equal(await page.locator('article.user').innerText(), '2 + 3\n= ?');
  await answered();
  await close();
});

if (isFake)
  for (const [how, press] of [['button', ({ stop }) => stop.click()], ['Escape key', ({ page }) => page.keyboard.press('Escape')]])
    test(`the stop ${how} ends the answer, keeps what came, and frees the sequence`, async () => {
      const one = await openPage();
      await one.ask(kLongQuestion);
      await one.answer.waitFor();
      await press(one);
      await one.page.getByText('Stopped.').waitFor();
      assert.match(await one.answer.innerText(), /word/);
      await becomesIdle();
      assert.equal(await one.input.evaluate((area) => area === document.activeElement), true, 'one can go on typing');
      await one.ask(kQuestion);
      await one.answered();
      await one.close();
    });

test('colours follow the system, and the choice of the reader, also after a reload', async () => {
  const { page, shot, close } = await openPage({ colorScheme: 'light' });
  // Waits for it: a theme is changed by an effect, a moment later.
  const becomes = (theme) =>
    page.waitForFunction((wanted) => {
      const ground = getComputedStyle(document.documentElement).backgroundColor.match(/\d+/g).map(Number);
      return wanted === 'dark' ? Math.max(...ground) < 64 : Math.min(...ground) > 192;
    }, theme, { timeout: 5000 });
  await becomes('light');
  await shot('5-light');
  await page.emulateMedia({ colorScheme: 'dark' });
  await becomes('dark');
  await page.getByLabel('Switch to light colours').click();
  await becomes('light');
  await page.reload();
  await page.getByLabel('Switch to dark colours').waitFor();
  await becomes('light');
  await close();
});

test('a reload keeps the conversation, a new chat ends it and can be undone', async () => {
  const { page, input, ask, answered, answer, close } = await openPage();
  await ask(kQuestion);
  await answered();
  const text = await answer.innerText();
  await page.reload();
  assert.equal(await answer.innerText(), text);
  await page.keyboard.press('Alt+n');
  assert.equal(await page.locator('article').count(), 0);
  await page.getByRole('status').getByText('Undo').click();
  assert.equal(await answer.innerText(), text);
  await input.fill('a draft');
  await page.keyboard.press('Alt+n');
  assert.equal(await page.locator('article').count(), 2, 'not under a draft');
  await input.fill('');
  await page.getByLabel('Settings').click();
  await page.keyboard.press('Alt+n');
  await page.keyboard.press('Escape');
  assert.equal(await page.locator('article').count(), 2, 'nor under the settings');
  await page.keyboard.press('Alt+n');
  await page.reload();
  await page.getByText('Ask the deep').waitFor();
  await close();
});

test('on a phone nothing is wider than the screen, and everything can be touched', async () => {
  const { page, ask, answered, shot, close } = await openPage(kPhone);
  const assertFits = async (what) => {
    const [content, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
    assert.ok(content <= screen, `${what}: ${content} px on a screen of ${screen}`);
    assert.equal(screen, kPhone.viewport.width, `${what}: the page is not zoomed out`);
  };
  await assertFits('welcome');
  assert.ok((await page.locator('h1').boundingBox()).y > 60, 'the welcome is seen from its top');
  await shot('6-phone-welcome');
  await ask(isFake ? 'Show everything' : kQuestion);
  await answered();
  await assertFits('conversation');
  await shot('7-phone-answer');
  if (isFake) {
    const [content, box] = await page.locator('pre').evaluate((pre) => [pre.scrollWidth, pre.clientWidth]);
    assert.ok(content > box, 'long code scrolls inside its own block');
  }
  for (const button of await page.locator('button:visible').all()) {
    const { width, height } = await button.boundingBox();
    assert.ok(width >= 28 && height >= 28, `${await button.getAttribute('aria-label')}: ${width} x ${height}`);
  }
  await page.getByLabel('Settings').tap();
  await page.getByText('System prompt').waitFor();
  await assertFits('settings');
  await shot('8-phone-settings');
  await close();
});

test('settings are kept, and go with the next question', async () => {
  const { page, ask, answered, close } = await openPage();
  await page.getByLabel('Settings').click();
  await page.getByLabel('System prompt').fill('Be brief.');
  await page.getByLabel('Longest answer, in tokens').fill('3');
  await page.keyboard.press('Escape');
  await page.reload();
  const sent = page.waitForRequest('**/v1/chat/completions');
  await ask(kQuestion);
  const body = (await sent).postDataJSON();
  assert.equal(body.max_tokens, 3);
  assert.deepEqual(body.messages[0], { role: 'system', content: 'Be brief.' });
  await answered();
  await page.getByText('The answer reached its length limit.').waitFor();
  await close();
});

test('a server that cannot be reached is told, and the question can be asked again', async () => {
  const { page, input, ask, answered, answer, close } = await openPage();
  await page.getByText(model, { exact: true }).waitFor();
  await page.route('**/v1/**', (route) => route.abort());
  await ask(kQuestion);
  await page.getByRole('alert').filter({ hasText: 'cannot be reached' }).waitFor();
  await page.unroute('**/v1/**');
  await page.getByLabel('Answer again').click();
  await answer.waitFor();
  await answered();
  const text = await answer.innerText();
  await page.route('**/{v1/**,health}', (route) => route.abort());
  await page.getByLabel('Answer again').click();
  await page.locator('.banner').waitFor();
  assert.equal(await answer.innerText(), text, 'an answer stays until there is another');
  await page.unroute('**/{v1/**,health}');
  await page.getByLabel('Answer again').click();
  await page.locator('.banner').waitFor({ state: 'detached' });
  await answered();
  assert.equal(await input.evaluate((area) => area === document.activeElement), true, 'one can go on typing');
  await close();
});

test('formulas are drawn, and what is none stays as it was written', async () => {
  const { page, ask, answered, answer, shot, close } = await openPage(kPhone);
  const content = `$x^*$, **\\(\\frac{1}{2}\\)**, $5 and $6, $\\frac{1}$.\n\n\\[\n${'a + '.repeat(60)}\n- b\n\\]`;
  const events = [{ choices: [{ index: 0, delta: { content } }] }, { choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] }];
  const body = [...events.map((event) => JSON.stringify(event)), '[DONE]'].map((data) => `data: ${data}\n\n`).join('');
  await page.route('**/v1/**', (route) => route.fulfill({ contentType: 'text/event-stream', body }));
  await ask(kQuestion);
  await answered();
  await answer.locator('math').first().waitFor();
  assert.equal(await answer.locator('math').count(), 3);
  assert.equal(await answer.locator('strong mfrac').count(), 1);
  assert.match(await answer.innerText(), /\$5 and \$6, \$\\frac\{1\}\$\./);
  const [wide, screen] = await page.locator('main').evaluate((main) => [main.scrollWidth, main.clientWidth]);
  assert.equal(wide, screen, 'a long formula scrolls in its own line');
  await shot('10-formulas');
  await close();
});

if (isFake) {
  test('an error of the model is shown under what it had thought', async () => {
    const { page, ask, shot, close } = await openPage();
    await ask('Please fail');
    await page.getByRole('alert').filter({ hasText: 'the fake model fails' }).waitFor();
    await shot('9-error');
    await close();
  });

  test('HTML that a model writes is text on the page', async () => {
    const { page, ask, answered, answer, close } = await openPage();
    await ask('Show everything');
    await answered();
    assert.match(await answer.innerText(), /<b>Not bold<\/b>/);
    assert.equal(await page.locator('.answer b').count(), 0);
    await close();
  });

  test('answers and code can be copied', async () => {
    const { page, ask, answered, close } = await openPage({ permissions: ['clipboard-read', 'clipboard-write'] });
    await ask('Show everything');
    await answered();
    const clipboard = () => page.evaluate(() => navigator.clipboard.readText());
    await page.getByLabel('Copy the code').click();
    assert.match(await clipboard(), /^def pressure_at.*MPa"\)$/s);
    await page.getByLabel('Copy the answer').click();
    assert.match(await clipboard(), /^# The deep, in short.*never HTML\.$/s);
    await close();
  });

  test('a reader who has scrolled up is left there, and has a way back', async () => {
    const { page, ask, answer, stop, close } = await openPage({ viewport: { width: 900, height: 420 } });
    await ask(kLongQuestion);
    await answer.waitFor();
    const main = page.locator('main');
    await main.evaluate((scroller) => new Promise((resolve) => {
      const wait = () => (scroller.scrollHeight > scroller.clientHeight + 200 ? resolve() : setTimeout(wait, 50));
      wait();
    }));
    await main.hover();
    await page.mouse.wheel(0, -30); // the smallest step is enough
    const back = page.getByLabel('To the end');
    await back.waitFor();
    const top = await main.evaluate((scroller) => scroller.scrollTop);
    await page.waitForTimeout(300);
    assert.equal(await main.evaluate((scroller) => scroller.scrollTop), top, 'new text does not pull the reader down');
    await back.click();
    await back.waitFor({ state: 'detached' });
    await stop.click();
    await close();
  });
}

if (keyedUrl)
  test('a server with keys asks for one, and is used with it', async () => {
    const { page, ask, answered, answer, close } = await openPage({}, keyedUrl);
    await page.getByRole('alert').getByText('Enter it').click();
    await page.getByLabel('API key of this server').fill(key);
    await page.getByRole('button', { name: 'Done' }).click();
    await page.getByText(model, { exact: true }).waitFor();
    await ask(kQuestion);
    await answer.waitFor();
    await answered();
    await close();
  });
