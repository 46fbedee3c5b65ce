/** Suggestions for mistyped names. */
import t from 'tap';
import { didYouMean, editDistance, nearestName } from '../../src/std/nearest-name.ts';

t.test('distance counts insertions, deletions, replacements and swaps', async (t) => {
  const cases: readonly (readonly [string, string, number])[] = [
    ['', '', 0],
    ['', 'abc', 3],
    ['abc', '', 3],
    ['abc', 'abc', 0],
    ['abc', 'abd', 1],
    ['abc', 'ac', 1],
    ['abc', 'acb', 1],
    ['worker', 'workr', 1],
    ['kitten', 'sitting', 3],
  ];
  for (const [a, b, wanted] of cases) {
    t.equal(editDistance(a, b), wanted, `${a} ${b}`);
    t.equal(editDistance(b, a), wanted, `${b} ${a}`);
  }
});

t.test('the nearest known name is found, and only when it is near', async (t) => {
  const known = ['worker', 'broker', 'result', 'call'];
  t.equal(nearestName('workr', known), 'worker');
  t.equal(nearestName('WORKER', known), 'worker');
  t.equal(nearestName('resutl', known), 'result');
  t.equal(nearestName('cal', known), 'call');
  t.equal(nearestName('banana', known), null);
  t.equal(nearestName('x', known), null);
  t.equal(nearestName('worker', []), null);
});

t.test('what a sentence about an unknown name ends with', async (t) => {
  t.equal(didYouMean('workr', ['worker']), '; did you mean worker?');
  t.equal(didYouMean('workr', ['worker'], 'the names are worker'), '; did you mean worker?');
  t.equal(didYouMean('banana', ['worker'], 'the names are worker'), '; the names are worker');
  t.equal(didYouMean('banana', ['worker']), '');
});
