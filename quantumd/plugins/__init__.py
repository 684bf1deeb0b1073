"""Floor 2: the plugins that come with quantumd. They are found through ``twisted.plugins``, like anybody else's."""
