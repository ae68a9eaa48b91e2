// Two tabs have one storage: neither overwrites what the other has chosen.
import { afterEach, beforeEach, expect, test, vi } from 'vitest';

const kKey = 'hadal.settings';

beforeEach(() => {
  const entries = new Map<string, string>();
  vi.stubGlobal('localStorage', { getItem: (key: string) => entries.get(key) ?? null, setItem: (key: string, value: string) => void entries.set(key, value) });
});
afterEach(() => vi.unstubAllGlobals());

/** The settings as a freshly opened tab has them. */
async function openTab() {
  vi.resetModules();
  return import('../src/settings.svelte');
}

test('a tab keeps what it has changed, and no more', async () => {
  const [a, b] = [await openTab(), await openTab()];
  a.keepSettings();
  expect(localStorage.getItem(kKey), 'nothing was changed').toBeNull();
  b.settings.systemPrompt = 'Answer in German.';
  b.keepSettings();
  a.settings.thinking = false;
  a.keepSettings();
  expect((await openTab()).settings).toMatchObject({ systemPrompt: 'Answer in German.', thinking: false });
});

test('a tab that is told of a change shows it, and a later choice of its own still counts', async () => {
  const [a, b] = [await openTab(), await openTab()];
  b.settings.theme = 'light';
  b.keepSettings();
  a.adoptSettings({ key: 'hadal.turns' });
  expect(a.settings.theme).toBe('system');
  a.adoptSettings({ key: kKey });
  expect(a.settings.theme).toBe('light');
  a.settings.theme = 'system';
  a.keepSettings();
  expect((await openTab()).settings.theme).toBe('system');
});

test('storage that is off costs nothing but the memory', async () => {
  const refuse = (): never => {
    throw new DOMException('no', 'SecurityError');
  };
  vi.stubGlobal('localStorage', { getItem: refuse, setItem: refuse });
  const tab = await openTab();
  tab.settings.maxTokens = 9;
  tab.keepSettings();
  expect(tab.settings.maxTokens).toBe(9);
});
