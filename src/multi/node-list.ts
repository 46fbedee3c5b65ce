/**
 * Names and options → nodes: ranges, prefixes and suffixes, and which options belong to which node.
 *
 * Source: the grammar of `celery multi`; beyond it, numbers may be listed (`-c:1,3 4`, `-c:1-3 4`) for named nodes too, and a node of a range
 * may be meant by its name (`-c:celery2 4`), both of which Celery ignores without a word. Throws USAGE.
 */
import { UmbelError } from '../errors.ts';
import { expandLetters, splitNodeName } from '../std/node-name.ts';
import { MultiNode, type NodeFiles, type Program } from './multi-node.ts';
import type { OptionValues, OptionWords } from './option-words.ts';

export interface NodeListParams {
  readonly words: OptionWords;
  /** Of this machine. */
  readonly hostname: string;
  readonly program: Program;
  /** Arguments that make the program a worker in the background; --cmd is stronger. */
  readonly command: string;
  /** Nodes when none is named. */
  declared(): readonly string[];
  files(nodeName: string): NodeFiles;
  folder(workdir: string | null): string;
}

interface NamedNode {
  /** As on the command line: `w1`, `w1@host`; of a range the number. */
  readonly given: string;
  readonly name: string;
}

const rangeName = 'celery';

export function nodeList(params: NodeListParams): readonly MultiNode[] {
  const { words, hostname } = params;
  const options = new Map(words.options);
  const take = (option: string): string | null => {
    const value = options.get(option) ?? null;
    options.delete(option);
    return value;
  };
  const command = take('--cmd') ?? params.command;
  const append = take('--append') ?? '';
  const short = take('-n');
  const host = take('--hostname') ?? short ?? hostname;
  const prefix = take('--prefix') ?? '';
  const suffix = take('--suffix') || host;
  const rangePrefix = take('--range-prefix') || rangeName;

  const count = words.names.length === 1 ? rangeCount(words.names[0] ?? '') : null;
  const given = count === null ? (words.names.length > 0 ? words.names : params.declared()) : numbered(count);
  const nodes = given.map((name) => ({
    given: name,
    name: fullName(name, count === null ? prefix : rangePrefix, suffix === '""' || suffix === "''" ? '' : suffix, hostname),
  }));
  const own = ownOptions(words.forSome, nodes);
  return nodes.map(
    (node, index) =>
      new MultiNode({
        name: node.name,
        options: new Map([...options, ...(own[index] ?? [])]),
        command,
        append,
        passthrough: words.passthrough,
        program: params.program,
        files: params.files,
        folder: params.folder,
      }),
  );
}

/** Most nodes that a number can mean; a longer one is a typing error. */
const mostNodes = 10_000;

function rangeCount(name: string): number | null {
  if (!/^\+?\d+$/.test(name)) return null;
  const count = Number(name);
  if (count > mostNodes) throw new UmbelError('USAGE', `a number of nodes must not be above ${mostNodes}, got ${name} (umbel multi)`);
  return count;
}

function numbered(count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => String(index + 1));
}

function fullName(given: string, prefix: string, suffix: string, hostname: string): string {
  const dot = hostname.indexOf('.');
  const [short, domain] = dot < 0 ? [hostname, ''] : [hostname.slice(0, dot), hostname.slice(dot + 1)];
  try {
    const template = given.includes('@') ? given : `${prefix}${given}@${suffix}`;
    return expandLetters(template, { h: hostname, n: short, d: domain, i: '0', I: '' }, 'a node name');
  } catch (error) {
    throw new UmbelError('NAME_INVALID', error instanceof Error ? error.message : String(error), { cause: error });
  }
}

/** Per node, what is meant for it alone. A selector that is no number and no name of a node is for a node that is not concerned now. */
function ownOptions(forSome: OptionWords['forSome'], nodes: readonly NamedNode[]): readonly OptionValues[] {
  const own = nodes.map((): OptionValues => new Map());
  // A full name hides what is said of the short one, as in Celery.
  const full = new Set(nodes.flatMap(({ name }, index) => (forSome.has(name) ? [index] : [])));
  const add = (index: number, options: OptionValues): void => {
    for (const [option, value] of options) own[index]?.set(option, value);
  };
  // What names one node stands before lists and ranges, which come last, as in Celery.
  const single = [...forSome].filter(([selector]) => !isList(selector));
  const lists = [...forSome].filter(([selector]) => isList(selector));
  for (const [selector, options] of [...single, ...lists]) {
    for (const part of selector.split(',')) {
      for (const index of nodesMeant(part, nodes)) if (!full.has(index) || nodes[index]?.name === part) add(index, options);
    }
  }
  return own;
}

function isList(selector: string): boolean {
  return selector.includes(',') || /^\d+-\d+$/.test(selector);
}

/** Indexes of the nodes that one part of a selector means: a name, a number, or a range of numbers. */
function nodesMeant(part: string, nodes: readonly NamedNode[]): readonly number[] {
  const byName = nodes.flatMap(({ given, name }, index) =>
    given === part || name === part || splitNodeName(name).name === part ? [index] : [],
  );
  if (byName.length > 0) return byName;
  const numbers = /^(\d+)(?:-(\d+))?$/.exec(part);
  if (numbers === null) return [];
  const first = Number(numbers[1]);
  const last = Number(numbers[2] ?? first);
  if (first < 1) throw new UmbelError('USAGE', `numbers of nodes must start at 1, got ${part} (umbel multi)`);
  if (numbers[2] === undefined && last > nodes.length)
    throw new UmbelError('USAGE', `a number of a node must not be above ${nodes.length}, the number of nodes, got ${part} (umbel multi)`);
  return nodes.flatMap((_, index) => (index + 1 >= first && index + 1 <= last ? [index] : []));
}
