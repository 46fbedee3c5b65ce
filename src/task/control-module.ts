/**
 * Remote commands of one's own, in modules named in `worker.control_modules`: `inspectCommand` for those that look, `controlCommand` for those that change.
 *
 * Owns what a module may say of a command. What a command gets to see of the worker is control/control-surface.ts, which is not known here.
 */
import { UmbelError } from '../errors.ts';

export interface ControlCommandArgument {
  readonly name: string;
  /** Absent: it must be given. */
  readonly default?: unknown;
  /** What it must be, from the command line or from another program; text is read as that. Default: anything, a text on the command line. */
  readonly type?: 'text' | 'integer' | 'number' | 'boolean';
  /** It takes all words that are left, as a list. */
  readonly rest?: boolean;
}

export interface ControlCommandOptions {
  /** Default: the name under which it is exported. */
  readonly name?: string;
  readonly aliases?: readonly string[];
  /** Default: none. */
  readonly args?: readonly ControlCommandArgument[];
  /** Of the command line, for people. */
  readonly signature?: string;
  /** One sentence. */
  readonly help?: string;
  /** How long a caller waits by default. */
  readonly timeoutSeconds?: number;
}

/** `worker`: what Celery's commands see and do of it. What is returned, or a promise of it, is the reply. */
export type ControlFunction<W = unknown> = (worker: W, args: Readonly<Record<string, unknown>>) => unknown;

export class ModuleCommand {
  readonly kind: 'inspect' | 'control';
  readonly options: ControlCommandOptions;
  readonly run: ControlFunction;

  constructor(kind: 'inspect' | 'control', options: ControlCommandOptions, run: ControlFunction) {
    this.kind = kind;
    this.options = options;
    this.run = run;
  }
}

/** A remote command that looks and changes nothing: `umbel inspect NAME`. Throws USAGE. */
export function inspectCommand<W>(options: ControlCommandOptions, run: ControlFunction<W>): ModuleCommand {
  return checked('inspect', options, run);
}

/** A remote command that changes what the worker does: `umbel control NAME`. Throws USAGE. */
export function controlCommand<W>(options: ControlCommandOptions, run: ControlFunction<W>): ModuleCommand {
  return checked('control', options, run);
}

const known = new Set(['name', 'aliases', 'args', 'signature', 'help', 'timeoutSeconds']);

function checked<W>(kind: 'inspect' | 'control', options: ControlCommandOptions, run: ControlFunction<W>): ModuleCommand {
  const where = `${kind}Command`;
  if (typeof options !== 'object' || options === null || typeof run !== 'function')
    throw new UmbelError('USAGE', `${where} takes options and a function, got ${typeof options} and ${typeof run}`);
  const odd = Object.keys(options).find((key) => !known.has(key));
  if (odd !== undefined) throw new UmbelError('USAGE', `an option of ${where} must be one of ${[...known].join(', ')}, got ${odd}`);
  const { args = [] } = options;
  if (!Array.isArray(args) || args.some((argument) => typeof argument?.name !== 'string'))
    throw new UmbelError('USAGE', `args of ${where} must be a list of objects with a name, got ${JSON.stringify(args)}`);
  const rest = args.findIndex((argument) => argument.rest === true);
  if (rest !== -1 && rest !== args.length - 1)
    throw new UmbelError('USAGE', `the argument of ${where} that takes the rest must be the last, got ${args[rest]?.name}`);
  return new ModuleCommand(kind, options, run as ControlFunction);
}
