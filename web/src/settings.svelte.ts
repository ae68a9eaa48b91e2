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

/** Call inside an effect: it reads every setting, so it runs again when one changes. */
export function keepSettings(): void {
  const text = JSON.stringify(settings);
  try {
    localStorage.setItem(kKey, text);
  } catch {
    // private windows may refuse
  }
}

export function resetSettings(): void {
  Object.assign(settings, { ...kDefaults, theme: settings.theme, apiKey: settings.apiKey });
}
