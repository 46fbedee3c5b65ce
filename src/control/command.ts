/**
 * The shape of a remote command: one value that says its name, its arguments, what it is for, and does it.
 *
 * `umbel inspect --help`, the panel's checks and docs/control.md all come from these values.
 */
import type { ControlSurface } from './control-surface.ts';

/** On the command line: how a word becomes the argument. `rest`: it takes all that is left, as a list. */
export interface CommandArgument {
  readonly name: string;
  /** Absent: it must be given. */
  readonly default?: unknown;
  readonly type?: 'text' | 'integer' | 'number' | 'boolean';
  readonly rest?: boolean;
}

/** The handler's word for: send no reply at all. */
export const noReply = Symbol('no reply');

export interface ControlCommand {
  readonly name: string;
  /** Older names of the same. */
  readonly aliases?: readonly string[];
  readonly kind: 'inspect' | 'control';
  /** What a caller may send, in the order of Python's function. */
  readonly arguments: readonly CommandArgument[];
  /** Names of arguments in the order of the command line, where that differs. */
  readonly commandLine?: readonly string[];
  /** Of the command line, for people: `<queue> [exchange [type [routing_key]]]`. */
  readonly signature?: string;
  /** One sentence. */
  readonly help: string;
  /** Arguments it does not know are an error instead of ignored. */
  readonly strict?: boolean;
  /** Fewer nodes than this would be harmed by it: a caller looks first how many there are. */
  readonly needsNodes?: number;
  /** Not shown to people. */
  readonly hidden?: boolean;
  /** How long a caller waits by default. Default: 1 s. */
  readonly timeoutSeconds?: number;
  /** Its value, or a promise of it, is the reply; throws CommandFailure. */
  run(surface: ControlSurface, args: Readonly<Record<string, unknown>>): unknown;
}
