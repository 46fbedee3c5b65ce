/**
 * What Redis, its client library or the network say, in our own words.
 *
 * Owns: the kinds of failure, which reply text means which, and what somebody can do about each. Nobody else reads such texts.
 */
import { ReplyError } from 'ioredis';
import { maskUrl } from '../std/mask-url.ts';
import type { RedisCommand } from './redis-script.ts';
import { tlsReason } from './tls-options.ts';

/**
 * What went wrong, as far as somebody can act on it:
 *  lost      no connection, or it broke before the reply        loading, oom, misconf, busy   the server refuses for the time being
 *  readonly  a replica: the master is elsewhere now             auth, permission, cluster     until somebody changes the configuration
 *  noscript  the script must be loaded again                    full     too much is waiting for the server already
 *  version   the server is too old                              (no attempt will help, as with cluster)
 *  config    we were told to connect with what cannot be used: a missing file, a database that is not there
 *  stopped   we ended the connection                            command  this command only, the connection is well
 */
export type RedisFailureKind =
  | 'lost'
  | 'loading'
  | 'oom'
  | 'misconf'
  | 'busy'
  | 'readonly'
  | 'auth'
  | 'permission'
  | 'cluster'
  | 'version'
  | 'config'
  | 'noscript'
  | 'full'
  | 'stopped'
  | 'command';

export class RedisFailure extends Error {
  readonly kind: RedisFailureKind;
  /** The server may have done it all the same: it was sent, and no reply came. */
  readonly uncertain: boolean;

  constructor(kind: RedisFailureKind, message: string, options?: { cause?: unknown; uncertain?: boolean }) {
    super(message, options);
    this.name = 'RedisFailure';
    this.kind = kind;
    this.uncertain = options?.uncertain ?? false;
  }
}

/** First word of an error reply → kind. */
const kindOfWord: Readonly<Record<string, RedisFailureKind>> = {
  NOSCRIPT: 'noscript',
  LOADING: 'loading',
  OOM: 'oom',
  MISCONF: 'misconf',
  NOREPLICAS: 'busy',
  BUSY: 'busy',
  TRYAGAIN: 'busy',
  READONLY: 'readonly',
  MASTERDOWN: 'readonly',
  NOAUTH: 'auth',
  WRONGPASS: 'auth',
  NOPERM: 'permission',
  CLUSTERDOWN: 'cluster',
  MOVED: 'cluster',
  ASK: 'cluster',
  CROSSSLOT: 'cluster',
};

const ruleOfKind: Readonly<
  Record<Exclude<RedisFailureKind, 'command' | 'lost' | 'full' | 'stopped' | 'noscript' | 'version' | 'config'>, string>
> = {
  loading: 'Redis is still loading its data',
  oom: 'Redis has used up maxmemory; raise it or make room',
  misconf: 'Redis takes no writes because it cannot save its data to disk',
  busy: 'Redis takes no writes for the moment',
  readonly: 'Redis is a replica and takes no writes',
  auth: 'Redis does not accept the user and password of the URL',
  permission: 'the Redis user of the URL lacks a right that is needed',
  cluster: 'Redis Cluster is not supported: use a single server or Sentinel',
};

const keysShown = 3;

/** Kinds that pass without anybody touching this connection. */
export const passingKinds: ReadonlySet<RedisFailureKind> = new Set(['oom', 'misconf', 'busy', 'loading']);

/** ioredis has classes of its own for error replies; everything else is a failure of the connection. */
export function isReplyError(thrown: unknown): thrown is Error {
  return thrown instanceof ReplyError;
}

/** Anything ioredis throws or replies, as ours. `where` is the server for people. */
export function toRedisFailure(thrown: unknown, where: string): RedisFailure {
  if (thrown instanceof RedisFailure) return thrown;
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  if (!isReplyError(thrown))
    return new RedisFailure('lost', `the connection to Redis failed: ${connectionText(thrown, text)} (${where})`, { cause: thrown });
  const kind = kindOfReply(text);
  // Redis 5 and 6 with a setting of before: scripts that ask for the time may not write.
  if (text.includes('redis.replicate_commands()'))
    return new RedisFailure('version', `Redis must have lua-replicate-commands yes, as is the default, got no (${where})`, {
      cause: thrown,
    });
  if (kind === 'command') return new RedisFailure('command', `Redis refused the command: ${text} (${where})`, { cause: thrown });
  if (kind === 'noscript') return new RedisFailure('noscript', `Redis has forgotten a script (${where})`, { cause: thrown });
  const rule = kind in ruleOfKind ? ruleOfKind[kind as keyof typeof ruleOfKind] : 'Redis refused';
  return new RedisFailure(kind, `${rule}: ${maskUrl(text)} (${where})`, { cause: thrown });
}

/** Says which command it was, and on which keys: whoever has to mend one must find it. */
export function ofCommand(failure: RedisFailure, command: RedisCommand): RedisFailure {
  if (failure.kind !== 'command') return failure;
  return new RedisFailure('command', failure.message.replace('the command', wordsOf(command)), { cause: failure.cause });
}

function wordsOf([name, ...rest]: RedisCommand): string {
  if (name !== 'EVALSHA' && name !== 'EVAL') return `${name} ${rest[0] ?? ''}`.trimEnd();
  const keys = rest.slice(2, 2 + Number(rest[1]));
  return `a script on ${keys.slice(0, keysShown).join(', ')}${keys.length > keysShown ? ', …' : ''}`;
}

function kindOfReply(text: string): RedisFailureKind {
  const word = /^-?([A-Z]+)\b/.exec(text)?.[1] ?? '';
  const kind = kindOfWord[word];
  if (kind !== undefined) return kind;
  // Errors of commands inside a script carry the original word further on.
  const inner = /(?:^|[\s:@-])(OOM|MISCONF|READONLY|NOREPLICAS|NOPERM) /.exec(text)?.[1];
  if (inner !== undefined) return kindOfWord[inner] ?? 'command';
  if (/user executing the script can't|ACL failure in script/i.test(text)) return 'permission';
  return /invalid password|without any password configured|no password is set|Authentication required/i.test(text) ? 'auth' : 'command';
}

function connectionText(thrown: unknown, text: string): string {
  if (text === '' && thrown instanceof AggregateError)
    return thrown.errors.map((error) => (error instanceof Error ? error.message : String(error))).join('; ');
  const sentinels = /^All sentinels are unreachable.*Last error: (.*)$/s.exec(text)?.[1];
  if (sentinels !== undefined) return `no sentinel names a master: ${sentinels}`;
  const reason = tlsReason(text);
  if (reason !== null) return `TLS: ${reason}`;
  return text === 'Connection is closed.' ? 'it was closed' : maskUrl(text);
}
