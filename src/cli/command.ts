/**
 * The shape of a command and of what it gets to work with.
 *
 * A command is one file that exports `command`, and one line in commands.ts. It returns its exit status; a problem it throws as
 * an UmbelError becomes a message and that error's exit status.
 */
import type { Config } from '../config/config.ts';
import type { SettingName } from '../config/settings-table.ts';
import type { OptionSpec } from './option-spec.ts';
import type { Surroundings } from './surroundings.ts';

export interface Command {
  /** Positional arguments as in usage lines: '<task>' must be given, '[action]' may be, '[...files]' takes the rest. */
  readonly arguments: readonly string[];
  /** More than the summary, for `umbel help COMMAND`; lines are wrapped. */
  readonly description?: string;
  /** Instead of `description`, where it is about what the configuration names; that stands in for it where this fails. */
  describe?(ctx: CommandContext): Promise<string>;
  readonly examples?: readonly string[];
  readonly options: readonly OptionSpec[];
  /** Settings whose flags the command has, besides the global ones: usually `settingsWithFlagOn('worker')`. */
  readonly settings: readonly SettingName[];
  /** What it prints is not what it is run for: it goes on, and succeeds, without. */
  readonly outputIsCourtesy?: true;
  run(ctx: CommandContext): Promise<number>;
  /** Instead of `run`, for a command with a grammar of its own: the words after its name, then those before it, none of them read. */
  runWords?(words: readonly string[], surroundings: Surroundings): Promise<number>;
  /** Instead of the help made of all that. */
  readonly help?: string;
}

export interface CommandContext {
  /** Positional arguments. */
  readonly args: readonly string[];
  /** The value of one of the command's own options; undefined: not given. */
  option<T>(spec: OptionSpec<T>): T | undefined;
  /** Settings given as flags, as typed. */
  readonly flags: Partial<Record<SettingName, unknown>>;
  /** Flags, environment, file and defaults. Reads the file anew at each call. Throws ConfigError, CONFIG_UNREADABLE. */
  loadConfig(): Config;
  /** The value of --config. */
  readonly configFile: string | undefined;
  /** Data: whole lines, to standard output. A missing last line end is added. */
  stdout(text: string): void;
  /** Talk: whole lines, to standard error; nothing with --quiet. */
  stderr(text: string): void;
  /** A problem: whole lines, to standard error, also with --quiet. */
  problem(text: string): void;
  /** A question, as it is: to standard error, also with --quiet. */
  prompt(text: string): void;
  /** Lines that somebody types or pipes in, in a shell after a prompt. Whoever reads them is the only one who does. */
  lines(shell?: ShellLines): AsyncIterable<string>;
  /** Somebody types them. */
  readonly isTyped: boolean;
  readonly quiet: boolean;
  /** Every command there is. */
  readonly commands: readonly CommandEntry[];
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
}

/** How lines are asked for at a terminal. */
export interface ShellLines {
  readonly prompt: string;
  /** First words, for completion. */
  readonly words: readonly string[];
}

/** One line of the list of commands. */
export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  /** Loads the command's file when it is needed. */
  load(): Promise<{ readonly command: Command }>;
}
