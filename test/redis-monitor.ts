/** What a Redis server is told, command by command, as MONITOR says it. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Test } from 'tap';
import { inGoodTime } from './in-good-time.ts';
import type { RedisServer } from './redis-server.ts';

export interface Monitor {
  /** Everything from now up to the line that fits: `"SET" "key" …`, without time and client. */
  until(fits: (line: string) => boolean): Promise<string[]>;
  /**
   * The names of the commands from the next MULTI that begins with the command `first` up to its EXEC, in capitals. Others may come before it:
   * a connection that opens meanwhile sends an empty one, and one may have begun to listen between its MULTI and its EXEC.
   */
  transaction(first: string): Promise<string[]>;
}

/** Listening when it resolves; ends with the test. */
export async function monitor(t: Test, server: RedisServer): Promise<Monitor> {
  const child = spawn('redis-cli', ['-h', server.host, '-p', String(server.port), 'MONITOR'], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => child.kill());
  const lines = createInterface({ input: child.stdout });
  const iterator = lines[Symbol.asyncIterator]();
  await inGoodTime(iterator.next(), () => 'redis-cli must say that it monitors');
  const until = async (fits: (line: string) => boolean): Promise<string[]> => {
    const seen: string[] = [];
    for (;;) {
      const { value, done } = await inGoodTime(
        iterator.next(),
        () => `the server must be told what is waited for, and not only\n${seen.join('\n')}`,
      );
      if (done === true) throw new Error(`MONITOR ended after ${seen.join('\n')}`);
      const line = String(value).replace(/^\S+ \[[^\]]*\] /, '');
      seen.push(line);
      if (fits(line)) return seen;
    }
  };
  const nameOf = (line: string): string | undefined => /^"(\w+)"/.exec(line)?.[1]?.toUpperCase();
  return {
    until,
    transaction: async (first) => {
      const begun = (await until((line) => nameOf(line) === first)).map(nameOf);
      const rest = (await until((line) => nameOf(line) === 'EXEC')).map(nameOf);
      return [...begun.slice(begun.lastIndexOf('MULTI')), ...rest].map(String);
    },
  };
}
