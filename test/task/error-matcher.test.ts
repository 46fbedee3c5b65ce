/** Errors by class and by name. */
import t from 'tap';
import { matchesError } from '../../src/task/error-matcher.ts';

class Refused extends Error {}
class RefusedTwice extends Refused {}
class Named extends Error {
  override readonly name = 'OtherName';
}

t.test('a class, and what is derived from it', async (t) => {
  t.equal(matchesError(new RefusedTwice(), [TypeError, Refused]), true);
  t.equal(matchesError(new Refused(), [RefusedTwice]), false);
  t.equal(matchesError('text', [Error]), false);
  t.equal(matchesError(new Error('x'), []), false);
});

t.test('a name: of the error, of its class, of a class above', async (t) => {
  t.equal(matchesError(new RefusedTwice(), ['Refused']), true);
  t.equal(matchesError(new Refused(), ['RefusedTwice']), false);
  t.equal(matchesError(new Named(), ['OtherName']), true);
  t.equal(matchesError(new Named(), ['Named']), true);
  t.equal(matchesError(new TypeError('x'), ['Error']), true);
  t.equal(matchesError(Object.assign(new Error('x'), { name: 'AbortError' }), ['AbortError']), true);
  t.equal(matchesError({ name: 'Refused' }, ['Refused', 'Object']), false, 'no error');
  t.equal(matchesError('Refused', ['Refused']), false);
});
