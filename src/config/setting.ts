/**
 * What the declaration of one setting says, and the names that follow from it.
 *
 * A setting is declared once (files `*-settings.ts`); flags, help, validation, the example file, the settings page and the masking
 * of secrets come from that declaration. The TOML section is the prefix of the name: `worker_concurrency` is `[worker] concurrency`;
 * a name without a known prefix (`accept_content`) is a top-level key.
 */
import { maskUrl } from '../std/mask-url.ts';
import type { Kind } from './kind.ts';

/** Sections of the file, in the order they are shown. */
export const sections = ['broker', 'sqlite', 'result', 'redis', 'task', 'worker', 'control', 'event'] as const;
export type Section = (typeof sections)[number];

/** The flag that sets a setting. */
export interface Flag {
  /** Short forms first, then long: ['-c', '--concurrency']. */
  readonly names: readonly string[];
  /** Shown for the value: 'N', 'PATH'. null: the flag takes none and means `means`. */
  readonly argument: string | null;
  /** What a flag without an argument sets. */
  readonly means?: unknown;
  /** May be given more than once; the values make a list. */
  readonly repeatable?: boolean;
  /** 'global': before and after every command. Else the commands that have it. */
  readonly on: 'global' | readonly string[];
  /** Help text, where that of the setting does not fit. */
  readonly doc?: string;
  /** Heading it stands under in the help. */
  readonly group: string;
}

export interface Setting<T> {
  readonly kind: Kind<NonNullable<T>> | Kind<T>;
  readonly default: T;
  /** Text for the default where the value alone says too little: 'the number of CPUs'. */
  readonly defaultText?: string;
  /** A sentence or more. The first one is the help text of the flag. */
  readonly doc: string;
  readonly flag?: Flag;
  /** Celery's own environment variables for it, best first; all weaker than UMBEL_*. */
  readonly celeryEnvironment?: readonly string[];
  /** A variable that, when not empty, whatever it holds, gives the setting this value (NO_COLOR). */
  readonly environmentSwitch?: { readonly variable: string; readonly means: T };
  /** 'url': the passwords in it are masked when shown. 'whole': all of it is. */
  readonly secret?: 'url' | 'whole';
  /** Where Celery differs. */
  readonly celeryDiffers?: string;
  /** A value for the example file when the default is null. */
  readonly example?: T;
}

/** A setting whose value type is not known here. */
export interface AnySetting extends Omit<Setting<unknown>, 'kind'> {
  readonly kind: Kind<unknown>;
}

/** Identity that checks a declaration and keeps the type of its value. */
export function setting<T>(declared: Setting<T>): Setting<T> {
  return declared;
}

/** Where a setting stands in a TOML file; section null is the top level. */
export interface TomlPlace {
  readonly section: Section | null;
  readonly key: string;
}

export function tomlPlace(name: string): TomlPlace {
  // Tables of their own, one for each queue: [queues.NAME].
  if (name === 'task_queues') return { section: null, key: 'queues' };
  // And for each task: [tasks."NAME"].
  if (name === 'task_annotations') return { section: null, key: 'tasks' };
  // And for each node: [node.NAME].
  if (name === 'worker_nodes') return { section: null, key: 'node' };
  const prefix = name.slice(0, name.indexOf('_') + 1);
  const section = sections.find((one) => `${one}_` === prefix);
  return section === undefined ? { section: null, key: name } : { section, key: name.slice(prefix.length) };
}

/** The name for people: `worker.concurrency`, `accept_content`. */
export function dottedName(name: string): string {
  const { section, key } = tomlPlace(name);
  return section === null ? key : `${section}.${key}`;
}

export function environmentName(name: string): string {
  return `UMBEL_${name.toUpperCase()}`;
}

/** The longest name of a flag: what messages and origins call it. */
export function flagText(flag: Flag): string {
  return flag.names.find((name) => name.startsWith('--')) ?? flag.names[0] ?? '';
}

/** Text about a value of this setting with its secret parts masked. */
export function masked(secret: 'url' | 'whole' | undefined, text: string): string {
  if (secret === 'whole') return '********';
  return secret === 'url' ? maskUrl(text) : text;
}
