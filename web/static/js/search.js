// The search page: what is typed is completed and searched for at once.
