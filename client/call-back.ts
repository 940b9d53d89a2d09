/** Calls what a program gave us. One that throws keeps nothing from anybody else, and its fault is told all the same, by itself. */
export function callBack<T>(callback: (value: T) => void, value: T): void {
  try {
    callback(value);
  } catch (thrown) {
    queueMicrotask(() => {
      throw thrown;
    });
  }
}
