/**
 * One command line from words to a running command: global options, the name of the command, its file, its options, run.
 *
 * Never does: catching; whatever a command throws is for run-cli.ts.
 */
import { exitStatus, UmbelError } from '../errors.ts';
import { version } from '../std/version.ts';
import { commands } from './commands.ts';
import { createContext } from './create-context.ts';
import { findCommand } from './find-command.ts';
import { globalOptions, helpOption, versionOption } from './global-options.ts';
import { commandHelp, described, generalHelp } from './help-text.ts';
import { settingOption } from './option-spec.ts';
import { parseCommandLine } from './parse-command-line.ts';
import { splitWords } from './split-words.ts';
import type { Surroundings } from './surroundings.ts';

export async function dispatch(argv: readonly string[], surroundings: Surroundings): Promise<number> {
  const before = splitWords(argv, { specs: globalOptions, stopAtWord: true, program: 'umbel' });
  const [name] = before.words;
  const early = (spec: unknown): boolean => before.options.some((given) => given.spec === spec);
  if (early(versionOption)) return printVersion(surroundings);
  if (name === undefined) {
    const asked = early(helpOption);
    surroundings[asked ? 'stdout' : 'stderr'].write(generalHelp(commands));
    return asked ? exitStatus.ok : exitStatus.usage;
  }

  const entry = findCommand(commands, name);
  const { command } = await entry.load();
  if (command.runWords !== undefined && !['-h', '--help'].includes(before.rest[0] ?? '')) {
    const first = argv.slice(0, argv.length - before.rest.length - 1);
    const status = await command.runWords([...before.rest, ...first], surroundings);
    checkWritten(surroundings);
    return status;
  }
  const specs = [...command.options, ...command.settings.map(settingOption), ...globalOptions];
  const after = splitWords(before.rest, { specs, program: `umbel ${name}` });
  const options = [...before.options, ...after.options];
  const given = (spec: unknown): boolean => options.some((one) => one.spec === spec);
  if (given(versionOption)) return printVersion(surroundings);
  if (given(helpOption)) {
    const values = new Map(options.map(({ spec, value }) => [spec, [value]]));
    const ctx = createContext({ args: [], values }, commands, surroundings);
    surroundings.stdout.write(commandHelp(entry, await described(command, ctx)));
    return exitStatus.ok;
  }
  const parsed = parseCommandLine({ name, command, specs, options, words: after.words });
  const status = await command.run(createContext(parsed, commands, surroundings));
  if (command.outputIsCourtesy !== true) checkWritten(surroundings);
  return status;
}

/** Data that did not arrive is a failure. A reader that has seen enough (`umbel config show | head`) is none. */
function checkWritten({ stdout }: Surroundings): void {
  const { errored } = stdout;
  if (errored == null || ('code' in errored && errored.code === 'EPIPE')) return;
  throw new UmbelError('OUTPUT_UNWRITABLE', `standard output must take what the command prints: ${errored.message}`, { cause: errored });
}

function printVersion({ stdout }: Surroundings): number {
  stdout.write(`umbel ${version()}\n`);
  return exitStatus.ok;
}
