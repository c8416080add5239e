/** As in AWS's resource names: `*` is any letters, `?` is one. Bounded by the product of the two lengths, whatever they are. */
export function matchesName(pattern: string, name: string): boolean {
  const wanted = Array.from(pattern);
  const letters = Array.from(name);
  let at = 0;
  let starAt = -1;
  let resumeAt = 0;
  for (let index = 0; index < letters.length;) {
    if (wanted[at] === "*") {
      starAt = at++;
      resumeAt = index;
    } else if (at < wanted.length && (wanted[at] === "?" || wanted[at] === letters[index])) {
      at++;
      index++;
    } else if (starAt >= 0) {
      // The last star takes one letter more; those before it need not.
      at = starAt + 1;
      index = ++resumeAt;
    } else return false;
  }
  while (wanted[at] === "*") at++;
  return at === wanted.length;
}
