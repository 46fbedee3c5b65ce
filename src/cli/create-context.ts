/** What a command gets to work with, made from its parsed command line. Values of wrong kind end here, all of them at once. */
import { Refusal } from '../config/kind.ts';
import { loadConfig, readFlag, refusalText } from '../config/load-config.ts';
import { flagText } from '../config/setting.ts';
import { type SettingName, settingsTable } from '../config/settings-table.ts';
import { UmbelError } from '../errors.ts';
import type { CommandContext, CommandEntry } from './command.ts';
import { configOption, quietOption } from './global-options.ts';
import { linesOf } from './lines-of.ts';
import { longName, type OptionSpec } from './option-spec.ts';
import type { ParsedCommandLine } from './parse-command-line.ts';
import type { Surroundings } from './surroundings.ts';

/** Throws USAGE. */
export function createContext(
  { args, values }: ParsedCommandLine,
  commands: readonly CommandEntry[],
  surroundings: Surroundings,
): CommandContext {
  const { env, cwd, stdout, stderr } = surroundings;
  const own = new Map<OptionSpec, unknown>();
  const flags: Partial<Record<SettingName, unknown>> = {};
  const problems: string[] = [];
  for (const [spec, given] of values) {
    if (spec.setting !== undefined) {
      const value = settingValue(spec, spec.setting, given);
      const read = readFlag(spec.setting, value);
      if (read instanceof Refusal) problems.push(`${refusalText(spec.setting, read)} (${flagTextOf(spec.setting)})`);
      flags[spec.setting] = value;
    } else {
      const last = given.at(-1) ?? true;
      const read = typeof last === 'string' && spec.kind !== undefined ? spec.kind.readText(last) : last;
      if (read instanceof Refusal) problems.push(`${longName(spec)} ${read.reason}`);
      own.set(spec, read);
    }
  }
  if (problems.length > 0) throw new UmbelError('USAGE', problems.join('\n  '));
  const quiet = own.get(quietOption) === true;
  const file = own.get(configOption);
  const configFile = typeof file === 'string' ? file : undefined;
  return {
    args,
    option: <T>(spec: OptionSpec<T>) => own.get(spec) as T | undefined,
    flags,
    configFile,
    loadConfig: () => loadConfig({ flags, env, cwd, file: configFile }),
    stdout: (text) => void stdout.write(wholeLines(text)),
    stderr: (text) => {
      if (!quiet) stderr.write(wholeLines(text));
    },
    problem: (text) => void stderr.write(wholeLines(text)),
    prompt: (text) => void stderr.write(text),
    lines: (shell) => linesOf(surroundings.stdin, shell),
    get isTyped() {
      return surroundings.stdin?.isTTY === true;
    },
    quiet,
    commands,
    env,
    cwd,
  };
}

function settingValue(spec: OptionSpec, name: SettingName, given: readonly (string | true)[]): unknown {
  if (spec.argument === null) return settingsTable[name].flag?.means;
  return spec.repeatable ? given : given.at(-1);
}

function flagTextOf(name: SettingName): string {
  const { flag } = settingsTable[name];
  return flag === undefined ? name : flagText(flag);
}

function wholeLines(text: string): string {
  return text.endsWith('\n') || text === '' ? text : `${text}\n`;
}
