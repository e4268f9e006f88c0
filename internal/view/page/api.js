// Requests to the server. All addresses are relative: the path of the page has the token.

export async function getText(path, params, signal) {
  const answer = await fetch(`api/${path}?${new URLSearchParams(params)}`, { signal });
  if (!answer.ok) throw new Error((await answer.text()).trim() || `status ${answer.status}`);
  return answer.text();
}

export const getJSON = async (path, params, signal) => JSON.parse(await getText(path, params, signal));

// updates loads everything page by page, then listens for what changes. A page in the
// background does not listen: a browser has six connections for all pages of a server.
export async function updates({ changes, health, state }) {
  let after = 0;
  for (let more = true; more; ) {
    const page = await getJSON("changes", { after, limit: 2000 });
    changes(page);
    after = page.revision;
    more = page.more === true;
  }
  let source = null;
  const listen = () => {
    source?.close();
    source = null;
    if (document.hidden) return;
    source = new EventSource(`api/updates?after=${after}`);
    source.addEventListener("open", () => state(true));
    source.addEventListener("error", () => state(false)); // the browser connects again
    source.addEventListener("health", (e) => health(JSON.parse(e.data)));
    source.addEventListener("changes", (e) => {
      const page = JSON.parse(e.data);
      after = page.revision;
      changes(page);
    });
  };
  document.addEventListener("visibilitychange", listen);
  listen();
}
