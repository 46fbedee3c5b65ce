/** A loaded configuration: every setting has a value, and every value knows where it came from. Frozen. */
import type { SettingName, Settings } from './settings-table.ts';

export interface Origin {
  readonly kind: 'flag' | 'environment' | 'file' | 'default';
  /** For people: '--concurrency', 'UMBEL_WORKER_CONCURRENCY', 'umbel.toml:12', 'default'. */
  readonly text: string;
}

export const defaultOrigin: Origin = Object.freeze({ kind: 'default', text: 'default' });

export interface Config {
  readonly settings: Readonly<Settings>;
  origin(name: SettingName): Origin;
  /** Of something inside the value, as exactly as it is known; for people. */
  placeOf(name: SettingName, path: readonly (string | number)[]): string;
  /** Absolute path of the configuration file; null: there is none. */
  readonly file: string | null;
}
