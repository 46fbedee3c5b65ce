/** In a process of its own: V8 makes String.prototype a dictionary once, for the first class that inherits from it. */
import { setFlagsFromString } from 'node:v8';
import t from 'tap';

setFlagsFromString('--allow-natives-syntax');
const hasFastProperties = new Function('object', 'return %HasFastProperties(object)') as (object: object) => boolean;

t.test('the Redis driver, whose package has a class that inherits from String, leaves the methods of strings quick', async (t) => {
  await import('../../src/driver/redis.ts');
  t.equal(hasFastProperties(String.prototype), true);
});
