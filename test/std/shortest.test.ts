/** The shortest of the latest durations. */
import t from 'tap';
import { Shortest } from '../../src/std/shortest.ts';

t.test('the shortest, until so many have been longer', async (t) => {
  const shortest = new Shortest();
  t.equal(shortest.ms, 0, 'before the first');
  shortest.note(7);
  t.equal(shortest.ms, 7);
  shortest.note(3);
  shortest.note(9);
  t.equal(shortest.ms, 3);
  for (let time = 0; time < 32; time += 1) shortest.note(20);
  t.equal(shortest.ms, 3, 'still remembered');
  for (let time = 0; time < 64; time += 1) shortest.note(20);
  t.equal(shortest.ms, 20, 'the way has become longer');
  shortest.note(2);
  t.equal(shortest.ms, 2);
});
