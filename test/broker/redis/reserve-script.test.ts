/** The script that reserves, by itself: what it does on servers on which it cannot work. */
import t from 'tap';
import { reserveScript } from '../../../src/broker/redis/reserve-script.ts';
import { RedisServer } from '../../redis-server.ts';

t.test('a server without cjson: an error, and nothing is taken', async (t) => {
  const server = await RedisServer.start(t);
  server.cli('ZADD', '_umbel.workers', '9999999999', 'w');
  // Its tag does not stand at the end, so that it has to be decoded.
  server.cli('LPUSH', 'celery', '{"body":"x"}');
  const reserve = (lua: string): string =>
    server.cli(
      ...['EVAL', lua, '5', 'unacked', 'unacked_index', '_umbel.workers', 'celery', '_umbel.rejected.celery'],
      ...['w', '1', '1', '1', '1', '0', '0', '"celery"'],
    );
  t.throws(() => reserve(`local cjson = nil ${reserveScript.lua}`), /cjson/);
  t.strictSame([server.cli('LLEN', 'celery'), server.cli('EXISTS', 'unacked')], ['1', '0'], 'the message is where it was');
  t.equal(reserve(reserveScript.lua), '1\n{"body":"x"}');
  t.strictSame([server.cli('LLEN', 'celery'), server.cli('HGET', 'unacked', 'w.1')], ['0', '[{"body":"x"},"","celery"]']);
});
