// What the keys of the page mean, apart from those of its fields.

export type KeyAction = 'stop' | 'type' | 'new chat';

export interface KeyPress {
  key: string;
  code: string;
  altKey: boolean;
  ctrlKey: boolean;
  metaKey: boolean;
  isComposing: boolean;
  getModifierState(name: string): boolean;
}

export interface KeySituation {
  field: string | null; // what has been typed into the field that has the focus; null: no field has it
  settingsOpen: boolean;
  running: boolean;
}

export function actionOf(press: KeyPress, { field, settingsOpen, running }: KeySituation): KeyAction | null {
  if (press.isComposing || settingsOpen) return null; // Escape leaves an input method or the dialog, not the answer
  if (press.key === 'Escape') return running ? 'stop' : null;
  if (press.key === '/') return field === null ? 'type' : null;
  if (press.code !== 'KeyN' || !press.altKey || press.ctrlKey || press.metaKey || press.getModifierState('AltGraph')) return null;
  // In a field Alt+N may be a letter (Option+N begins an ñ on a Mac), and it must not end a chat under a draft.
  const types = field !== null && (field !== '' || press.key.toLowerCase() !== 'n');
  return types ? null : 'new chat';
}
