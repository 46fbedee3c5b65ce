/**
 * Flags, environment, file and defaults → one frozen configuration, or all its problems at once.
 *
 * Stronger to weaker: flag, UMBEL_* variable, Celery's variable, file, default. Relative paths in the file are relative to the
 * folder of the file, all others to `cwd` (or to the working folder given as a flag or variable).
 *
 * Never does: printing, changing the working folder, looking at whether a path exists.
 */
import { dirname, resolve } from 'node:path';
import { type Config, defaultOrigin, type Origin } from './config.ts';
import { ConfigError, type ConfigProblem } from './config-error.ts';
import { displayPath, findConfigFile } from './find-config-file.ts';
import { type Kind, Refusal } from './kind.ts';
import { settingsOfNode } from './node-settings.ts';
import { parseToml, TomlSyntaxError } from './parse-toml.ts';
import { readEnvironment } from './read-environment.ts';
import { readFileSettings } from './read-file-settings.ts';
import { type AnySetting, dottedName, environmentName, flagText, masked } from './setting.ts';
import { type SettingName, type Settings, settingNames, settingsTable } from './settings-table.ts';

export interface LoadParams {
  /** Values of flags: text as typed, a list of texts for a repeated flag, or a value of the setting's type. */
  readonly flags: Partial<Record<SettingName, unknown>>;
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  /** From --config. */
  readonly file?: string | undefined;
}

/** Throws ConfigError, or CONFIG_UNREADABLE when there is no reading the file. */
export function loadConfig({ flags, env, cwd, file: named }: LoadParams): Config {
  const problems: ConfigProblem[] = [];
  const values = new Map<SettingName, unknown>();
  const origins = new Map<SettingName, Origin>();
  /** Of values from the file. */
  const places = new Map<SettingName, (path: Refusal['path']) => string>();
  const folder = workingFolder(flags, env, cwd);

  /** Layers are applied weakest first; a bad value of a layer is a problem even when a stronger one hides it. */
  const apply = (name: SettingName, value: unknown, origin: Origin, base: string, placeOf?: (path: Refusal['path']) => string): void => {
    if (value instanceof Refusal) {
      for (const one of value.each()) problems.push({ message: refusalText(name, one), place: placeOf?.(one.path) ?? origin.text });
      return;
    }
    const { kind } = settingsTable[name];
    values.set(name, value === null || kind.resolve === undefined ? value : kind.resolve(value, base));
    origins.set(name, origin);
    if (placeOf === undefined) places.delete(name);
    else places.set(name, placeOf);
  };

  const file = findConfigFile({ env, folder, named });
  if (file !== null) {
    const display = displayPath(file.path, cwd);
    try {
      const fromFile = readFileSettings(parseToml(file.source), display);
      problems.push(...fromFile.problems);
      for (const { name, value, place, placeOf } of fromFile.values) {
        apply(name, settingsTable[name].kind.readValue(value), { kind: 'file', text: place }, dirname(file.path), placeOf);
      }
      problems.sort((one, other) => lineOf(one) - lineOf(other));
    } catch (thrown) {
      if (!(thrown instanceof TomlSyntaxError)) throw thrown;
      problems.push({ message: thrown.message, place: `${display}:${thrown.line}:${thrown.column}` });
    }
  }

  const environment = readEnvironment(env, (name) => flags[name] !== undefined);
  problems.push(...environment.problems);
  for (const { name, input, variable } of environment.values) {
    const value = 'text' in input ? settingsTable[name].kind.readText(input.text) : input.value;
    apply(name, value, { kind: 'environment', text: variable }, name === 'worker_workdir' ? cwd : folder);
  }

  for (const name of settingNames) {
    const { flag } = settingsTable[name];
    if (flags[name] === undefined) continue;
    apply(
      name,
      readFlag(name, flags[name]),
      { kind: 'flag', text: flag === undefined ? name : flagText(flag) },
      name === 'worker_workdir' ? cwd : folder,
    );
  }

  // Said for this node alone: stronger than [worker], weaker than what stands outside of the file.
  const nodes = (values.get('worker_nodes') ?? {}) as Settings['worker_nodes'];
  const fromNodes = origins.get('worker_nodes') ?? defaultOrigin;
  for (const { name, value, path } of settingsOfNode(nodes, (values.get('worker_hostname') ?? null) as string | null)) {
    const { kind } = origins.get(name as SettingName) ?? defaultOrigin;
    if (kind === 'flag' || kind === 'environment') continue;
    values.set(name as SettingName, value);
    origins.set(name as SettingName, { kind: fromNodes.kind, text: places.get('worker_nodes')?.(path) ?? fromNodes.text });
  }

  if (problems.length > 0) throw new ConfigError(problems);
  const settings: Record<string, unknown> = {};
  for (const name of settingNames) settings[name] = values.has(name) ? values.get(name) : frozenDefault(settingsTable[name]);
  return Object.freeze({
    settings: Object.freeze(settings) as Settings,
    origin: (name: SettingName) => origins.get(name) ?? defaultOrigin,
    placeOf: (name: SettingName, path: Refusal['path']) => places.get(name)?.(path) ?? (origins.get(name) ?? defaultOrigin).text,
    file: file?.path ?? null,
  });
}

/** The value of a flag, or why it is none. Texts of a repeated flag are taken together. */
export function readFlag(name: SettingName, given: unknown): unknown {
  const { kind, flag } = settingsTable[name];
  if (typeof given === 'string') return flag?.repeatable ? readTexts(kind, [given], flag.argument) : kind.readText(given);
  if (flag?.repeatable && Array.isArray(given) && given.every((one) => typeof one === 'string'))
    return readTexts(kind, given, flag.argument);
  return given === null ? null : kind.readValue(given);
}

/** A flag whose argument is called LIST holds commas; any other repeated flag holds one item each (a path may have a comma). */
function readTexts(kind: Kind<unknown>, texts: readonly string[], argument: string | null): unknown {
  return argument === 'LIST' ? kind.readText(texts.join(',')) : kind.readValue(texts);
}

/** `worker.concurrency must be …`, with nothing secret in it. */
export function refusalText(name: SettingName, { reason, path }: Refusal): string {
  const { secret, kind } = settingsTable[name];
  const inside = path.map((part) => (typeof part === 'number' ? `[${part}]` : /^[\w-]+$/.test(part) ? `.${part}` : `."${part}"`)).join('');
  return `${dottedName(name)}${inside} ${secret === 'whole' ? `must be ${kind.rule}` : masked(secret, reason)}`;
}

/** What relative paths of flags and variables are relative to. */
export function workingFolder(flags: LoadParams['flags'], env: NodeJS.ProcessEnv, cwd: string): string {
  const own = env[environmentName('worker_workdir')];
  const celery = settingsTable.worker_workdir.celeryEnvironment?.map((variable) => env[variable]).find(Boolean);
  const chosen = flags.worker_workdir ?? (own || celery);
  return typeof chosen === 'string' && chosen !== '' ? resolve(cwd, chosen) : cwd;
}

/** For the order of problems: that of the file. */
function lineOf({ place }: ConfigProblem): number {
  return Number(/:(\d+)$/.exec(place)?.[1] ?? 0);
}

function frozenDefault({ default: value }: AnySetting): unknown {
  return Array.isArray(value) ? Object.freeze(value) : value;
}
