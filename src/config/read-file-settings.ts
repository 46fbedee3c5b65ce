/** The settings a TOML document holds, each with its line; unknown sections and keys become problems with a suggestion. */
import { nearestName } from '../std/nearest-name.ts';
import type { ConfigProblem } from './config-error.ts';
import { isTable } from './is-table.ts';
import { reasonsAgainst, reasonsAgainstSections } from './not-settings.ts';
import type { TomlDocument } from './parse-toml.ts';
import { dottedName, type Section, sections } from './setting.ts';
import { isSettingName, type SettingName, settingNames } from './settings-table.ts';

export interface FileValue {
  readonly name: SettingName;
  readonly value: unknown;
  readonly place: string;
  /** Of something inside the value. */
  placeOf(path: readonly (string | number)[]): string;
}

interface FileSettings {
  readonly values: readonly FileValue[];
  readonly problems: readonly ConfigProblem[];
}

/** `display` is the name of the file in places. */
export function readFileSettings({ data, lines }: TomlDocument, display: string): FileSettings {
  const values: FileValue[] = [];
  const problems: ConfigProblem[] = [];
  /** The nearest thing around it that has a line. */
  const place = (path: readonly (string | number)[]): string => {
    const line = lines.lineOf(path);
    if (line === null && path.length > 1) return place(path.slice(0, -1));
    return line === null ? display : `${display}:${line}`;
  };
  const found = (name: SettingName, value: unknown, path: readonly string[]): void => {
    values.push({ name, value, place: place(path), placeOf: (inner) => place([...path, ...inner]) });
  };
  for (const [key, value] of Object.entries(data)) {
    if (!isSection(key)) {
      const name = settingAtTop(key);
      if (name !== null) found(name, value, [key]);
      else problems.push({ message: isTable(value) ? unknownSection(key) : unknownKey(key), place: place([key]) });
    } else if (!isTable(value)) {
      problems.push({ message: `${key} must be a section, written [${key}]`, place: place([key]) });
    } else {
      for (const [inner, innerValue] of Object.entries(value)) {
        const name = `${key}_${inner}`;
        if (isSettingName(name) && dottedName(name) === `${key}.${inner}`) found(name, innerValue, [key, inner]);
        else problems.push({ message: unknownKey(`${key}.${inner}`), place: place([key, inner]) });
      }
    }
  }
  return { values, problems };
}

function settingAtTop(key: string): SettingName | null {
  return settingNames.find((name) => dottedName(name) === key) ?? null;
}

function isSection(key: string): key is Section {
  return (sections as readonly string[]).includes(key);
}

function unknownSection(key: string): string {
  const known = [...sections, 'queues', 'tasks', 'node'];
  const reason = reasonFor(reasonsAgainstSections, key);
  if (reason !== undefined) return `[${key}] is not a section: ${reason}`;
  const nearest = nearestName(key, known);
  const hint = nearest === null ? `the sections are ${known.map((one) => `[${one}]`).join(', ')}` : `did you mean [${nearest}]?`;
  return `[${key}] is not a section; ${hint}`;
}

/** `dotted` as it stands in the file. People also write the whole Celery name, or a key outside its section. */
function unknownKey(dotted: string): string {
  const flat = dotted.replaceAll('.', '_');
  const reason = reasonFor(reasonsAgainst, flat) ?? reasonFor(reasonsAgainstSections, flat.split('_', 1)[0] ?? '');
  if (reason !== undefined) return `${dotted} is not a setting: ${reason}`;
  const nearest = nearestSetting(dotted, flat);
  return `${dotted} is not a setting${nearest === null ? '' : `; did you mean ${nearest}?`}`;
}

function reasonFor(reasons: Readonly<Record<string, string>>, name: string): string | undefined {
  return Object.hasOwn(reasons, name) ? reasons[name] : undefined;
}

/** In a section that is known its name must not make up for a key that is nothing like any other. */
function nearestSetting(dotted: string, flat: string): string | null {
  const names = settingNames.map(dottedName);
  const [section = '', last = dotted] = dotted.includes('.') ? dotted.split(/\.(.*)/s) : [];
  const exact = [flat, last].find(isSettingName);
  if (exact !== undefined) return dottedName(exact);
  const elsewhere = names.find((name) => name.endsWith(`.${last}`));
  if (elsewhere !== undefined) return elsewhere;
  if (section === '') return nearestName(dotted, names);
  const keys = names.filter((name) => name.startsWith(`${section}.`)).map((name) => name.slice(section.length + 1));
  const key = nearestName(last, keys);
  return key === null ? null : `${section}.${key}`;
}
