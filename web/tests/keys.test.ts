// The keys of the page do nothing to somebody who types, composes, or is in the settings.
import { describe, expect, test } from 'vitest';

import { actionOf, type KeyPress, type KeySituation } from '../src/keys';

function press(fields: Partial<KeyPress> & { modifiers?: string[] }): KeyPress {
  const { modifiers = [], ...rest } = fields;
  return { key: '', code: '', altKey: false, ctrlKey: false, metaKey: false, isComposing: false, getModifierState: (name) => modifiers.includes(name), ...rest };
}

const kAltN = { key: 'n', code: 'KeyN', altKey: true };
const kSituation: KeySituation = { field: null, settingsOpen: false, running: false };
const action = (fields: Parameters<typeof press>[0], situation: Partial<KeySituation> = {}) => actionOf(press(fields), { ...kSituation, ...situation });

describe('Alt+N', () => {
  test('begins a new chat, also from an empty field', () => {
    expect(action(kAltN)).toBe('new chat');
    expect(action({ ...kAltN, key: '\u02dc' }), 'no field: it types nothing').toBe('new chat');
    expect(action(kAltN, { field: '' })).toBe('new chat');
  });

  test('does nothing to somebody who types', () => {
    expect(action(kAltN, { field: 'a draft' })).toBeNull();
    for (const key of ['\u0144', '\u00f1', '\u02dc', 'Dead']) expect(action({ ...kAltN, key }, { field: '' }), key).toBeNull();
    expect(action({ ...kAltN, isComposing: true })).toBeNull();
  });

  test('does nothing with AltGr, Control or Command, nor without Alt', () => {
    expect(action({ ...kAltN, modifiers: ['AltGraph'] })).toBeNull();
    expect(action({ ...kAltN, ctrlKey: true })).toBeNull();
    expect(action({ ...kAltN, metaKey: true })).toBeNull();
    expect(action({ ...kAltN, altKey: false })).toBeNull();
  });
});

test('in the settings no key is the page\'s', () => {
  for (const fields of [kAltN, { key: 'Escape' }, { key: '/' }]) expect(action(fields, { settingsOpen: true, running: true })).toBeNull();
});

test('Escape stops an answer, and nothing else', () => {
  expect(action({ key: 'Escape' }, { running: true, field: 'a draft' })).toBe('stop');
  expect(action({ key: 'Escape', isComposing: true }, { running: true })).toBeNull();
  expect(action({ key: 'Escape' })).toBeNull();
});

test('a slash goes to the field, unless it is typed into one', () => {
  expect(action({ key: '/' })).toBe('type');
  expect(action({ key: '/' }, { field: '' })).toBeNull();
});
