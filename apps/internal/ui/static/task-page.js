// The page of a task.

import { mount } from "./task.js";

document.querySelectorAll("main article[data-task]").forEach(mount);
document.documentElement.dataset.ready = "task";
