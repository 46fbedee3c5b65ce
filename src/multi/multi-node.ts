/**
 * One node of `umbel multi`: its name, its files, and the command line that starts it.
 *
 * Owns the expansion of names in options (`%n %h %d %p %N`; `%i` and `%I` are left for the worker) and the form of the command line,
 * as text (for people, as Celery prints it) and as words (for the system). Starts nothing, reads nothing.
 */
import { resolve } from 'node:path';
import { UmbelError } from '../errors.ts';
import { expandLetters, splitNodeName } from '../std/node-name.ts';
import type { OptionValues } from './option-words.ts';
import { shellQuoted, splitShellWords } from './shell-words.ts';

export interface Program {
  readonly executable: string;
  /** What stands between the executable and its arguments: the script, when run from source. */
  readonly script: readonly string[];
}

export interface NodeFiles {
  readonly pidfile: string;
  readonly logfile: string;
}

export interface MultiNodeParams {
  /** `w1@example.com` */
  readonly name: string;
  /** Its own and those of all nodes. */
  readonly options: OptionValues;
  /** Arguments of the program that make it a worker in the background. */
  readonly command: string;
  /** A further word for the end. Expanded. */
  readonly append: string;
  readonly passthrough: readonly string[];
  readonly program: Program;
  /** What relative names of files are relative to, with the value of --workdir. */
  folder(workdir: string | null): string;
  /** Where options do not say. Asked when it is needed, and once. */
  files(nodeName: string): NodeFiles;
}

/** Options that every command of the program has. They stand before the name of the command. */
const globalOptions = '-A --app -b --broker --result-backend --loader --config --workdir -C --no-color -q --quiet'.split(' ');
const programNames = ['umbel', 'celery'];

export class MultiNode {
  readonly name: string;
  readonly shortName: string;
  readonly #params: MultiNodeParams;
  #options: OptionValues | undefined;
  #configuredFiles: NodeFiles | undefined;

  constructor(params: MultiNodeParams) {
    this.#params = params;
    this.name = params.name;
    this.shortName = splitNodeName(params.name).name;
  }

  /** What it is started with. Only that needs both files: who stops a node may have a configuration that is broken by now. */
  get options(): OptionValues {
    if (this.#options !== undefined) return this.#options;
    const { program } = this.#params;
    const options = new Map(this.#params.options).set('-n', this.name);
    const { pidfile, logfile } = options.has('--pidfile') && options.has('--logfile') ? noFiles : this.#configured;
    // Without a value they stay so, and are refused when they are needed.
    if (!options.has('-p') && !options.has('--pidfile')) options.set('--pidfile', pidfile);
    if (!options.has('-f') && !options.has('--logfile')) options.set('--logfile', logfile);
    // From source, the executable alone is not the program.
    if (program.script.length === 0 && !options.has('--executable')) options.set('--executable', program.executable);
    this.#options = options;
    return options;
  }

  /** Throws NAME_INVALID. */
  expand(template: string): string {
    const { host } = splitNodeName(this.name);
    const values = { h: this.name, n: this.shortName || 'celery', N: this.shortName, d: host, p: this.name, i: '%i', I: '%I' };
    try {
      return expandLetters(template, values, 'umbel multi');
    } catch (error) {
      throw new UmbelError('NAME_INVALID', error instanceof Error ? error.message : String(error), { cause: error });
    }
  }

  /** As the main process of the worker opens it. */
  get pidfile(): string {
    return this.#file('pidfile', '--pidfile', '-p');
  }

  get logfile(): string {
    return this.#file('logfile', '--logfile', '-f');
  }

  /** Arguments of the same program for another of its commands, with the options that all commands have; null: it may be another program. */
  callOf(words: readonly string[]): readonly string[] | null {
    if (this.executable !== this.#params.program.executable || !isOwnCommand(this.#params.command)) return null;
    const shared = [...this.#params.options].filter(([option]) => globalOptions.includes(option));
    const globals = shared.flatMap(([option, value]) => optionWords(option, value === null ? null : unquoted(this.expand(value))));
    return [...this.#script(), ...globals, ...words];
  }

  get executable(): string {
    return this.#params.options.get('--executable') ?? this.#params.program.executable;
  }

  /** The command line for people, without the executable. */
  get line(): string {
    return this.#line((word) => word).join(' ');
  }

  /** The command line for people, to be pasted into a shell. */
  get shellLine(): string {
    return [shellQuoted(this.executable), ...this.#script().map(shellQuoted), ...this.#line(shellQuoted)].join(' ');
  }

  /** What the executable is started with. */
  get argv(): readonly string[] {
    const { command, passthrough, append } = this.#params;
    const words = [...splitShellWords(this.expand(command))];
    const own: string[] = [];
    for (const [option, value] of this.options) {
      const formed = optionWords(option, value === null ? null : unquoted(this.expand(value)));
      if (globalOptions.includes(option)) words.splice(globalPlace(words), 0, ...formed);
      else own.push(...formed);
    }
    return [...this.#script(), ...words, ...own, ...passthrough, ...splitShellWords(this.expand(append))];
  }

  get #configured(): NodeFiles {
    this.#configuredFiles ??= this.#params.files(this.name);
    return this.#configuredFiles;
  }

  #script(): readonly string[] {
    return this.#params.options.has('--executable') ? [] : this.#params.program.script;
  }

  #line(quoted: (word: string) => string): readonly string[] {
    const { command, passthrough, append } = this.#params;
    const words = this.expand(command).split(' ');
    const own: string[] = [];
    for (const [option, value] of this.options) {
      const formed = optionWords(option, value === null ? null : this.expand(value))
        .map(quoted)
        .join(' ');
      if (globalOptions.includes(option)) words.splice(globalPlace(words), 0, formed);
      else own.push(formed);
    }
    return [...words, ...own, ...passthrough, ...(append === '' ? [] : [this.expand(append)])];
  }

  #file(which: keyof NodeFiles, long: string, short: string): string {
    const { options } = this.#params;
    const isGiven = options.has(long) || options.has(short);
    const template = isGiven ? (options.get(long) ?? options.get(short)) : this.#configured[which];
    if (typeof template !== 'string' || template === '') {
      throw new UmbelError('USAGE', `${long} must have a value, written ${long}=PATH, got none (umbel multi, node ${this.name})`);
    }
    const workdir = options.get('--workdir') ?? null;
    const folder = this.#params.folder(workdir === null ? null : this.expand(unquoted(workdir)));
    return resolve(folder, this.expand(unquoted(template)).replaceAll('%i', '0').replaceAll('%I', ''));
  }
}

const noFiles: NodeFiles = { pidfile: '', logfile: '' };

function isOwnCommand(command: string): boolean {
  return command.startsWith('worker ');
}

function globalPlace(words: readonly string[]): number {
  return words.findIndex((word) => programNames.includes(word)) + 1;
}

function optionWords(option: string, value: string | null): readonly string[] {
  if (value === null || value === '') return [option];
  return option.startsWith('--') ? [`${option}=${value}`] : [option, value];
}

/** Quotes that a configuration file had around a value mean what they mean to a shell. */
function unquoted(value: string): string {
  return /['"]/.test(value) ? splitShellWords(value).join(' ') : value;
}
