/** One node is elected, the same in the eyes of all; nobody is sent what ends a Python worker. */
import t from 'tap';
import { Elections } from '../../src/event/election.ts';
import type { ReceivedEvent } from '../../src/event/receiver.ts';
import { FakeClock } from '../../src/std/clock.ts';
import { RecordingLog } from '../driver/recording-log.ts';

function node(name: string, peers: number, clock = new FakeClock()) {
  const log = new RecordingLog();
  const sent: [string, unknown][] = [];
  const won: unknown[][] = [];
  const elections = new Elections({
    node: `${name}.7`,
    log,
    clock,
    peers: () => peers,
    send: (type, { id }) => sent.push([type, id]),
    won: (topic, action) => won.push([topic, action]),
  });
  const hear = (from: string, at: number, fields = {}): void =>
    elections.onElect({
      type: 'worker-elect',
      timestamp: 1,
      local_received: 1,
      id: 'e',
      topic: 'task',
      action: `of ${from}`,
      cver: 1,
      clock: at,
      hostname: from,
      pid: 7,
      ...fields,
    } as ReceivedEvent);
  return { elections, hear, sent, won, log, clock };
}

t.test('the lowest clock wins, between equals the name', (t) => {
  for (const [clocks, winner] of [
    [[5, 4, 9], 'b'],
    [[5, 5, 5], 'a'],
  ] as const) {
    const nodes = ['a', 'b', 'c'].map((name) => node(name, 2));
    for (const one of nodes) one.elections.call('e', 'task', null);
    for (const from of ['c', 'a', 'b']) for (const one of nodes) one.hear(from, clocks['abc'.indexOf(from) as 0]);
    const winners = nodes.filter(({ won }) => won.length > 0);
    t.equal(winners.length, 1);
    t.same(winners[0]?.won, [['task', `of ${winner}`]]);
    for (const { sent } of nodes)
      t.same(
        sent.map(([type]) => type),
        ['worker-elect', 'worker-elect-ack', 'worker-elect-ack', 'worker-elect-ack'],
      );
  }
  t.end();
});

t.test('no acknowledgement while there is one vote: a Python worker would end itself', (t) => {
  const { elections, hear, sent, won } = node('a', 1);
  elections.call('e', 'task', null);
  hear('snake', 3);
  t.same(sent, [['worker-elect', 'e']]);
  hear('a', 4);
  t.same(sent.length, 3);
  t.same(won, [], 'the snake has won');
  t.end();
});

t.test('alone, it wins at once; who does not vote is not waited for', (t) => {
  const lone = node('a', 0);
  lone.elections.call('e', 'task', null);
  lone.hear('a', 3);
  t.same(lone.won, [['task', 'of a']]);
  t.same(lone.sent, [['worker-elect', 'e']]);
  lone.hear('late', 1);
  t.same(lone.won.length, 1, 'it is over');

  const waiting = node('a', 3);
  waiting.elections.call('e', 'task', null);
  waiting.hear('a', 3);
  waiting.hear('b', 5);
  t.same(waiting.won, []);
  waiting.clock.advance(2000);
  t.same(waiting.won, [['task', 'of a']]);
  t.end();
});

t.test('who was not told to vote does nothing; a vote without fields is said', (t) => {
  const { hear, won, sent, log } = node('a', 1);
  hear('b', 3);
  hear('a', 2);
  t.same(won, []);
  t.same(
    sent.map(([type]) => type),
    ['worker-elect-ack', 'worker-elect-ack'],
  );
  hear('b', 3, { id: undefined });
  t.equal(log.lines.at(-1)?.event, 'gossip.invalid');
  t.end();
});
