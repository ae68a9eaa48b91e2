// What the user chose, kept in this browser only.

export type Theme = 'system' | 'dark' | 'light';

interface Stored {
  theme: Theme;
  thinking: boolean;
  systemPrompt: string;
  temperature: number | null; // null: the model's own
  maxTokens: number | null;
  apiKey: string;
}

const kKey = 'hadal.settings';
const kDefaults: Stored = {
  theme: 'system',
  thinking: true,
  systemPrompt: '',
  temperature: null,
  maxTokens: null,
  apiKey: '',
};

function load(): Stored {
  try {
    return { ...kDefaults, ...(JSON.parse(localStorage.getItem(kKey) ?? '{}') as Partial<Stored>) };
  } catch {
    return { ...kDefaults }; // storage is off or broken: the page works all the same
  }
}

export const settings = $state<Stored>(load());

let kept: Record<string, unknown> = { ...settings };

/**
 * Call inside an effect: it reads every setting, so it runs again when one changes. Writes what this tab has changed, and
 * leaves the rest to the other tabs.
 */
export function keepSettings(): void {
  const changed = Object.fromEntries(Object.entries(settings).filter(([name, value]) => value !== kept[name]));
  if (Object.keys(changed).length === 0) return;
  kept = { ...settings };
  try {
    localStorage.setItem(kKey, JSON.stringify({ ...load(), ...changed }));
  } catch {
    // private windows may refuse
  }
}

/** Takes over what another tab has kept: call when the browser tells that its storage has changed. */
export function adoptSettings({ key }: { key: string | null }): void {
  if (key !== kKey && key !== null) return; // null: all of the storage was cleared
  Object.assign(settings, load());
  kept = { ...settings };
}

export function resetSettings(): void {
  Object.assign(settings, { ...kDefaults, theme: settings.theme, apiKey: settings.apiKey });
}
