/**
 * Node names (`name@host`) and the %-abbreviations in `-n` and in log, pid and state file names, as Celery reads them.
 *
 * Owns the parsing and expansion only; who asks for which process index decides when to expand (`%i` and `%I` belong to the
 * process that opens the file).
 */

/** A name or template that cannot be read. std stands below the catalogue of errors, so it only carries the catalogue's code. */
export class NodeNameError extends Error {
  override readonly name = 'NodeNameError';
  readonly code = 'NAME_INVALID';
}

const defaultShortName = 'celery';

export interface NodeNameParts {
  /** Before the first `@`. Empty for a name without one. */
  readonly name: string;
  /** Everything after the first `@`. */
  readonly host: string;
}

export interface TemplateContext {
  /** Full node name, `worker1@example.com`. */
  readonly nodeName: string;
  /** Process index: 0 in the main process, 1..n in pool children. */
  readonly index: number;
}

/** Split at the first `@`; text without one is a host. */
export function splitNodeName(nodeName: string): NodeNameParts {
  const at = nodeName.indexOf('@');
  return at < 0 ? { name: '', host: nodeName } : { name: nodeName.slice(0, at), host: nodeName.slice(at + 1) };
}

/**
 * The node name for a `-n` option: `foo` is `celery@foo`, `foo@` is `foo@<hostname>`, `@bar` is `celery@bar`, nothing is
 * `celery@<hostname>`. In the option `%h` is the machine's host name, `%n` its part before the first dot, `%d` its domain, and
 * `%i` and `%I` those of the main process.
 */
export function parseNodeName(option: string | null | undefined, hostname: string): string {
  const { name, host } = splitNodeName(option ?? '');
  const template = `${name || defaultShortName}@${host || hostname}`;
  const machine = cutDomain(hostname);
  const nodeName = expandLetters(template, { h: hostname, n: machine.short, d: machine.domain, i: '0', I: '' }, '-n');
  if (/[\s\p{Cc}]/u.test(nodeName)) {
    throw new NodeNameError(`a node name must not contain spaces or control characters, got ${JSON.stringify(nodeName)} (-n)`);
  }
  return nodeName;
}

/**
 * Expand a log, pid or state file name: `%n` short name, `%h` host, `%d` domain, `%p` full node name, `%i` process index (0 in
 * the main process), `%I` nothing in the main process and `-<index>` in children. A `%` before anything else than a letter,
 * digit or underscore stays as it is; so `%%n` is a percent sign and the short name, as in Celery.
 */
export function expandTemplate(template: string, context: TemplateContext): string {
  const { name, host } = splitNodeName(context.nodeName);
  return expandLetters(
    template,
    {
      h: host,
      n: name || defaultShortName,
      d: cutDomain(host).domain,
      p: context.nodeName,
      i: String(context.index),
      I: context.index === 0 ? '' : `-${context.index}`,
    },
    'a file name',
  );
}

function cutDomain(host: string): { short: string; domain: string } {
  const dot = host.indexOf('.');
  return dot < 0 ? { short: host, domain: '' } : { short: host.slice(0, dot), domain: host.slice(dot + 1) };
}

/** Replace each `%` and a letter by what stands for the letter; `where` is for the message. Throws NodeNameError. */
export function expandLetters(template: string, values: Readonly<Record<string, string>>, where: string): string {
  return template.replace(/%([\p{L}\p{N}_])/gu, (whole: string, letter: string) => {
    const value = Object.hasOwn(values, letter) ? values[letter] : undefined;
    if (value !== undefined) return value;
    const known = Object.keys(values).map((key) => `%${key}`);
    throw new NodeNameError(`only ${known.join(' ')} can be used in ${where}, got ${whole} in ${JSON.stringify(template)}`);
  });
}
