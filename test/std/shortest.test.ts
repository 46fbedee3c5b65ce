/** The shortest of the latest durations. */
import t from 'tap';
import { Shortest } from '../../src/std/shortest.ts';

t.test('the shortest, until so many have been longer, for so long', async (t) => {
  let nowMs = 1000;
  t.intercept(performance, 'now', { value: () => nowMs });
  const shortest = new Shortest();
  t.equal(shortest.ms, 0, 'before the first');
  shortest.note(7);
  t.equal(shortest.ms, 7);
  shortest.note(3);
  shortest.note(9);
  t.equal(shortest.ms, 3);
  for (let time = 0; time < 1000; time += 1) shortest.note(20);
  t.equal(shortest.ms, 3, 'many in no time');
  nowMs += 10_000;
  for (let time = 0; time < 32; time += 1) shortest.note(20);
  t.equal(shortest.ms, 3, 'still remembered');
  nowMs += 60_000;
  shortest.note(20);
  t.equal(shortest.ms, 20, 'the way has become longer');
  nowMs += 60_000;
  shortest.note(30);
  t.equal(shortest.ms, 20, 'few in a long time');
  shortest.note(2);
  t.equal(shortest.ms, 2);
});
