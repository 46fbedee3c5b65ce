/** The settings a TOML document holds, each with its line; unknown sections and keys become problems with a suggestion. */
import { nearestName } from '../std/nearest-name.ts';
import type { ConfigProblem } from './config-error.ts';
import { isTable } from './is-table.ts';
import { reasonsAgainst } from './not-settings.ts';
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
  const nearest = nearestName(key, known);
  const hint = nearest === null ? `the sections are ${known.map((one) => `[${one}]`).join(', ')}` : `did you mean [${nearest}]?`;
  return `[${key}] is not a section; ${hint}`;
}

/** `dotted` as it stands in the file. People also write the whole Celery name, or a key outside its section. */
function unknownKey(dotted: string): string {
  const flat = dotted.replaceAll('.', '_');
  const reason = Object.hasOwn(reasonsAgainst, flat) ? reasonsAgainst[flat] : undefined;
  if (reason !== undefined) return `${dotted} is not a setting: ${reason}`;
  const last = dotted.slice(dotted.indexOf('.') + 1);
  const exact = [flat, last].find(isSettingName) ?? settingNames.find((name) => dottedName(name).endsWith(`.${last}`));
  const nearest = exact === undefined ? nearestName(dotted, settingNames.map(dottedName)) : dottedName(exact);
  return `${dotted} is not a setting${nearest === null ? '' : `; did you mean ${nearest}?`}`;
}
