/** V8 says itself whether String.prototype is a dictionary. */
import { setFlagsFromString } from 'node:v8';
import t from 'tap';
import { quickStrings } from '../../src/std/quick-strings.ts';

setFlagsFromString('--allow-natives-syntax');
const hasFastProperties = new Function('object', 'return %HasFastProperties(object)') as (object: object) => boolean;

t.test('after a class that inherits from String its methods are quick again', async (t) => {
  class Verbatim extends String {}
  t.equal(new Verbatim('a').length, 1);
  t.equal(hasFastProperties(String.prototype), false, 'such a class makes them slow');
  quickStrings();
  t.equal(hasFastProperties(String.prototype), true);
});
