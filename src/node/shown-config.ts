/** The configuration as `inspect conf` shows it: Celery's names, secrets masked. Source: protocol notes, control.md §2. */
import type { Config } from '../config/config.ts';
import { settingNames, settingsTable } from '../config/settings-table.ts';
import { maskUrl } from '../std/mask-url.ts';

/** Celery's. */
const hiddenText = '********';
const secretKey = /API|TOKEN|KEY|SECRET|PASS|PROFANITIES_LIST|SIGNATURE|DATABASE/i;

export function shownConfig(config: Config, withDefaults: boolean): Record<string, unknown> {
  const shown: Record<string, unknown> = {};
  for (const name of settingNames) {
    if (!withDefaults && config.origin(name).kind === 'default') continue;
    const { secret } = settingsTable[name];
    shown[name] =
      secret === 'whole' || (secretKey.test(name) && !isKeyOfRouting(name)) ? hidden(config.settings[name]) : masked(config.settings[name]);
  }
  return shown;
}

/** Celery masks these as well, because of the word KEY. Whoever reads a worker's configuration wants to see them. */
function isKeyOfRouting(name: string): boolean {
  return name.endsWith('routing_key') || name.endsWith('key_prefix') || name.endsWith('keyprefix');
}

function hidden(value: unknown): unknown {
  return value === null ? null : hiddenText;
}

/** Texts that are URLs lose their passwords, wherever they stand; tables lose what their keys call secret. */
function masked(value: unknown): unknown {
  if (typeof value === 'string') return value.includes('://') ? maskUrl(value, hiddenText) : value;
  if (Array.isArray(value)) return value.map(masked);
  if (value instanceof RegExp || value instanceof Date) return String(value);
  if (typeof value !== 'object' || value === null) return typeof value === 'function' ? String(value) : value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, secretKey.test(key) && !isKeyOfRouting(key) ? hidden(item) : masked(item)]),
  );
}
