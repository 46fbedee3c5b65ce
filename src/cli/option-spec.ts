/**
 * Options of the command line: what a command declares, and the options that come from the settings table.
 *
 * A command declares its own options with `flagOption`, `valueOption` and `optionalValueOption`, and reads them back with
 * `ctx.option(spec)`, typed. Options that are flags of a setting carry the setting's name and end in `ctx.flags`.
 */
import type { Kind } from '../config/kind.ts';
import { dottedName } from '../config/setting.ts';
import { type SettingName, settingsTable } from '../config/settings-table.ts';

export interface OptionSpec<T = unknown> {
  /** Short forms first: ['-c', '--concurrency']. */
  readonly names: readonly string[];
  /** Shown for the value: 'N', 'PATH'. null: takes none. */
  readonly argument: string | null;
  /** The value may be left out. The next word is taken as the value only when it looks like this. */
  readonly optional?: RegExp;
  readonly repeatable?: boolean;
  /** How the value is read; absent with `argument: null` and for settings (read when the configuration is loaded). */
  readonly kind?: Kind<unknown>;
  readonly doc: string;
  /** Text of the default, for the help. */
  readonly defaultText?: string;
  /** Heading in the help. */
  readonly group: string;
  readonly setting?: SettingName;
  /** Never present: carries the type of the value. */
  readonly value?: T;
}

interface Described {
  readonly names: readonly string[];
  readonly doc: string;
  readonly defaultText?: string;
  /** Default: 'Options'. */
  readonly group?: string;
}

/** An option without a value: `true` when given. */
export function flagOption(described: Described): OptionSpec<true> {
  return { group: 'Options', ...described, argument: null };
}

/** An option with a value of some kind. The last one given counts. */
export function valueOption<T>(described: Described & { readonly argument: string; readonly kind: Kind<T> }): OptionSpec<T> {
  return { group: 'Options', ...described };
}

/** An option whose value may be left out (`--wait`, `--wait 5`, `--wait=5`): `true` without one. */
export function optionalValueOption<T>(
  described: Described & { readonly argument: string; readonly kind: Kind<T>; readonly optional: RegExp },
): OptionSpec<T | true> {
  return { group: 'Options', ...described };
}

/** The flag of a setting as an option. */
export function settingOption(name: SettingName): OptionSpec {
  const { flag, doc, default: value, defaultText, kind } = settingsTable[name];
  if (flag === undefined) throw new Error(`the setting ${name} has no flag`);
  const shownDefault =
    flag.argument === null ? undefined : (defaultText ?? (value === null ? undefined : kind.toToml(value).replaceAll('"', '')));
  return {
    names: flag.names,
    argument: flag.argument,
    ...(flag.repeatable ? { repeatable: true } : {}),
    doc: flag.doc ?? firstSentence(doc),
    ...(shownDefault === undefined ? {} : { defaultText: shownDefault }),
    group: flag.group,
    setting: name,
  };
}

/** `--concurrency`; a lone short form stays as it is. */
export function longName(spec: OptionSpec): string {
  return spec.names.find((name) => name.startsWith('--')) ?? spec.names[0] ?? '';
}

/** What help says an option belongs to: the key in the configuration file. */
export function settingKey(spec: OptionSpec): string | null {
  return spec.setting === undefined ? null : dottedName(spec.setting);
}

function firstSentence(doc: string): string {
  return /^.*?[.](?=\s|$)/s.exec(doc)?.[0] ?? doc;
}
