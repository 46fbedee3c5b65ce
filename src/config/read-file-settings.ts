/** The settings a TOML document holds, each with its line; unknown sections and keys become problems with a suggestion. */
import { nearestName } from '../std/nearest-name.ts';
import type { ConfigProblem } from './config-error.ts';
import type { TomlDocument } from './parse-toml.ts';
import { dottedName, type Section, sections } from './setting.ts';
import { isSettingName, type SettingName, settingNames } from './settings-table.ts';

export interface FileValue {
  readonly name: SettingName;
  readonly value: unknown;
  readonly place: string;
}

interface FileSettings {
  readonly values: readonly FileValue[];
  readonly problems: readonly ConfigProblem[];
}

/** `display` is the name of the file in places. */
export function readFileSettings({ data, lines }: TomlDocument, display: string): FileSettings {
  const values: FileValue[] = [];
  const problems: ConfigProblem[] = [];
  const place = (path: readonly string[]): string => {
    const line = lines.lineOf(path);
    return line === null ? display : `${display}:${line}`;
  };
  for (const [key, value] of Object.entries(data)) {
    if (!isSection(key)) {
      if (isSettingName(key) && dottedName(key) === key) values.push({ name: key, value, place: place([key]) });
      else problems.push({ message: isTable(value) ? unknownSection(key) : unknownKey(key), place: place([key]) });
    } else if (!isTable(value)) {
      problems.push({ message: `${key} must be a section, written [${key}]`, place: place([key]) });
    } else {
      for (const [inner, innerValue] of Object.entries(value)) {
        const name = `${key}_${inner}`;
        if (isSettingName(name)) values.push({ name, value: innerValue, place: place([key, inner]) });
        else problems.push({ message: unknownKey(`${key}.${inner}`), place: place([key, inner]) });
      }
    }
  }
  return { values, problems };
}

function isSection(key: string): key is Section {
  return (sections as readonly string[]).includes(key);
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

function unknownSection(key: string): string {
  const nearest = nearestName(key, sections);
  const hint = nearest === null ? `the sections are ${sections.map((one) => `[${one}]`).join(', ')}` : `did you mean [${nearest}]?`;
  return `[${key}] is not a section; ${hint}`;
}

/** `dotted` as it stands in the file. People also write the whole Celery name, or a key outside its section. */
function unknownKey(dotted: string): string {
  const flat = dotted.replaceAll('.', '_');
  const last = dotted.slice(dotted.indexOf('.') + 1);
  const exact = [flat, last].find(isSettingName) ?? settingNames.find((name) => dottedName(name).endsWith(`.${last}`));
  const nearest = exact === undefined ? nearestName(dotted, settingNames.map(dottedName)) : dottedName(exact);
  return `${dotted} is not a setting${nearest === null ? '' : `; did you mean ${nearest}?`}`;
}
